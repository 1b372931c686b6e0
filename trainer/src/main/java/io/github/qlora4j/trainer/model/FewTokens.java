package io.github.qlora4j.trainer.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.FewRowsProduct;
import io.github.qlora4j.quant.LinearWeight;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.TensorMap;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.quant.torch.TorchScript;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * Runs a few new tokens of one row, multiplying by weights as they are, in kernels outside the engine.
 *
 * <p>Between two products the engine runs a piece of a block. All pieces read and write the same few tensors, a {@link
 * Room}; that of a single token is made once, so that a token costs next to nothing in Java. It borrows the decoder, for
 * one thread at a time; closing it frees what it keeps.
 */
final class FewTokens implements AutoCloseable {

    /** With more tokens at once, working the weights out costs less than a kernel for few rows. */
    static final int MOST = 32;

    private final Decoder decoder;
    private final TorchScript script;
    private final NDManager manager = Torch.newManager();
    private final List<Side> sides;
    private final List<List<FewRowsProduct>> products;
    private final Optional<NDArray> packedHead;
    private final boolean plain;
    private Room single;

    /**
     * Linear layers that take the same input, and are multiplied in one product.
     *
     * @param input the tensor that they take, as block.py names it
     */
    private record Side(String input, List<String> names) {}

    private FewTokens(Decoder decoder, List<Side> sides, List<List<FewRowsProduct>> products) {
        this.decoder = decoder;
        this.script = decoder.script();
        this.sides = sides;
        this.products = products;
        this.plain = IntStream.range(0, products.size())
                .allMatch(layer -> decoder.trained().layer(layer).isEmpty()
                        && decoder.besideLinears(layer).keySet().stream().noneMatch(name -> name.endsWith(".bias")));
        NDArray head = decoder.headWeight();
        this.packedHead = Torch.dtype(head) == Dtype.BFLOAT16
                ? Optional.of(script.tensor(manager, "packed_head", head))
                : Optional.empty();
    }

    /**
     * Lays all linear layers out for their kernels; empty where one has none, or where they take more than {@code most}
     * bytes: a mixture would need both ways for every token.
     */
    static Optional<FewTokens> of(Decoder decoder, long most) {
        List<Side> sides = sides(decoder.base().config());
        List<List<FewRowsProduct>> products = new ArrayList<>();
        long bytes = Torch.byteSize(decoder.headWeight());
        for (BaseModel.Layer layer : decoder.base().layers()) {
            List<FewRowsProduct> own = new ArrayList<>();
            products.add(own);
            for (Side side : sides) {
                List<LinearWeight> weights =
                        side.names().stream().map(layer.linears()::get).toList();
                Optional<FewRowsProduct> product = weights.get(0)
                        .fewRows(
                                weights.subList(1, weights.size()),
                                decoder.base().computeOf(weights.get(0)));
                product.ifPresent(own::add);
                bytes += product.map(FewRowsProduct::bytes).orElse(0L);
                if (product.isEmpty() || bytes > most) {
                    products.forEach(made -> made.forEach(FewRowsProduct::close));
                    return Optional.empty();
                }
            }
        }
        return Optional.of(new FewTokens(decoder, sides, products));
    }

    private static List<Side> sides(ModelConfig config) {
        List<String> names = config.family().linears(config).stream()
                .map(Family.Linear::name)
                .toList();
        int last = names.indexOf(config.family().attentionLast());
        return List.of(
                new Side("n", names.subList(0, last)),
                new Side("o", names.subList(last, last + 1)),
                new Side("n", names.subList(last + 1, names.size() - 1)),
                new Side("m", names.subList(names.size() - 1, names.size())));
    }

    /** New tokens behind those in the cache, which does not count them yet: the logits of the last, float32 [vocab_size]. */
    NDArray next(NDManager results, int[] inputIds, KvCache cache) {
        if (inputIds.length == 1) {
            if (single == null) {
                single = new Room(1);
            }
            return single.run(results, inputIds, cache);
        }
        try (Room room = new Room(inputIds.length)) {
            return room.run(results, inputIds, cache);
        }
    }

    /** The tensors between the pieces, for so many tokens. */
    private final class Room implements AutoCloseable {

        private final NDManager owner = manager.newSubManager();
        private final Map<String, NDArray> tensors = new LinkedHashMap<>();
        private final List<TensorMap> layers = new ArrayList<>();
        private final List<List<Runnable>> multiplications = new ArrayList<>();

        Room(int tokens) {
            ModelConfig config = decoder.base().config();
            Dtype stream = decoder.base().stream();
            Map<String, Long> widths = new HashMap<>();
            config.family().linears(config).forEach(linear -> widths.put(linear.name(), linear.out()));
            tensors.put("x", Torch.empty(owner, stream, tokens, config.hiddenSize()));
            tensors.put("cos", Torch.empty(owner, stream, tokens, 1, config.headDim()));
            tensors.put("sin", Torch.empty(owner, stream, tokens, 1, config.headDim()));
            for (Side side : sides) {
                long in = decoder.base()
                        .layers()
                        .get(0)
                        .linears()
                        .get(side.names().get(0))
                        .cols();
                tensors.computeIfAbsent(side.input(), k -> Torch.empty(owner, stream, tokens, in));
                if (stream != Dtype.BFLOAT16) {
                    tensors.computeIfAbsent(
                            side.input() + ".rows", k -> Torch.empty(owner, Dtype.BFLOAT16, tokens, in));
                }
            }
            List<NDArray> results = new ArrayList<>();
            for (Side side : sides) {
                NDArray all = Torch.empty(
                        owner,
                        Dtype.BFLOAT16,
                        tokens,
                        side.names().stream().mapToLong(widths::get).sum());
                results.add(all);
                long first = 0;
                for (String name : side.names()) {
                    tensors.put(name, script.tensor(owner, "columns", all, first, widths.get(name)));
                    first += widths.get(name);
                }
            }
            for (int layer = 0; layer < products.size(); layer++) {
                Map<String, NDArray> all = new LinkedHashMap<>(tensors);
                all.putAll(decoder.besideLinears(layer));
                all.putAll(decoder.trained().layer(layer));
                layers.add(new TensorMap(all));
                List<Runnable> own = new ArrayList<>();
                for (int i = 0; i < sides.size(); i++) {
                    NDArray input = tensors.get(sides.get(i).input());
                    own.add(products.get(layer)
                            .get(i)
                            .between(tensors.getOrDefault(sides.get(i).input() + ".rows", input), results.get(i)));
                }
                multiplications.add(own);
            }
        }

        NDArray run(NDManager manager, int[] inputIds, KvCache cache) {
            ModelConfig config = decoder.base().config();
            double eps = config.rmsNormEps();
            int last = layers.size() - 1;
            try (NDManager pass = manager.newSubManager()) {
                Rope.Angles angles =
                        decoder.rope().from(pass, cache.length(), inputIds.length, decoder.base().stream());
                NDArray ids = Torch.ofInts(pass, inputIds, inputIds.length);
                script.run("few_start", decoder.embeddings(), ids, angles.cos(), angles.sin(), layers.get(0), eps);
            }
            for (int layer = 0; layer <= last; layer++) {
                TensorMap s = layers.get(layer);
                List<Runnable> product = multiplications.get(layer);
                product.get(0).run();
                script.run(
                        "few_attention",
                        s,
                        plain,
                        cache.keys(layer),
                        cache.values(layer),
                        cache.length(),
                        decoder.shape(),
                        decoder.window(layer),
                        decoder.scale());
                product.get(1).run();
                script.run("few_residual", s, plain, eps);
                product.get(2).run();
                script.run("few_mix", s, plain);
                product.get(3).run();
                script.run("few_end", s, plain, layers.get(Math.min(layer + 1, last)), eps);
            }
            return script.tensor(
                    manager,
                    packedHead.isPresent() ? "last_logits_packed" : "last_logits",
                    tensors.get("x"),
                    decoder.base().norm(),
                    eps,
                    packedHead.orElseGet(decoder::headWeight));
        }

        @Override
        public void close() {
            layers.forEach(TensorMap::close);
            owner.close();
        }
    }

    @Override
    public void close() {
        if (single != null) {
            single.close();
        }
        products.forEach(made -> made.forEach(FewRowsProduct::close));
        manager.close();
    }
}
