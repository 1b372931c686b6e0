package io.github.qlora4j.trainer.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.DenseWeight;
import io.github.qlora4j.quant.LinearWeight;
import io.github.qlora4j.quant.ReadyProduct;
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
 * Runs new tokens by weights that are laid out ready: a product for all linear layers that take the same
 * input, some of them in kernels outside the engine.
 *
 * <p>Between two products the engine runs a piece of a block. All pieces read and write the same few tensors, a {@link
 * Room}; that of the tokens behind a prompt is kept, so that a token costs next to nothing in Java. It borrows the decoder, for
 * one thread at a time; closing it frees what it keeps.
 */
final class BlocksInPieces implements AutoCloseable {

    private final Decoder decoder;
    private final TorchScript script;
    private final NDManager manager = Torch.newManager();
    private final List<Side> sides;
    private final List<List<ReadyProduct>> products;
    private final Optional<ReadyProduct> head;
    private final boolean plain;
    private Room kept;

    /**
     * Linear layers that take the same input, and are multiplied in one product.
     *
     * @param input the tensor that they take, as block.py names it
     */
    private record Side(String input, List<String> names) {}

    private BlocksInPieces(Decoder decoder, List<Side> sides, List<List<ReadyProduct>> products) {
        this.decoder = decoder;
        this.script = decoder.script();
        this.sides = sides;
        this.products = products;
        this.plain = IntStream.range(0, products.size())
                .allMatch(layer -> decoder.trained().layer(layer).isEmpty()
                        && decoder.besideLinears(layer).keySet().stream().noneMatch(name -> name.endsWith(".bias")));
        boolean packs = !decoder.base().placement().headOnDisk()
                && Torch.dtype(decoder.headWeight()) == Dtype.BFLOAT16
                && ReadyProduct.packsBfloat16();
        this.head = packs
                ? Optional.of(ReadyProduct.dense(List.of(new DenseWeight(decoder.headWeight())), Dtype.BFLOAT16))
                : Optional.empty();
    }

    /**
     * Lays the linear layers out; empty where that takes more than {@code most} bytes, and where there is nothing to gain:
     * no weight is worked out for a product, or one has another kind of product of its own.
     */
    static Optional<BlocksInPieces> of(Decoder decoder, long most) {
        BaseModel base = decoder.base();
        if (base.weights().allMatch(BlocksInPieces::isDense) || base.weights().anyMatch(LinearWeight::hasOwnProduct)) {
            return Optional.empty();
        }
        List<Side> sides = sides(base.config());
        List<List<ReadyProduct>> products = new ArrayList<>();
        long bytes = 0;
        for (BaseModel.Layer layer : base.layers()) {
            List<ReadyProduct> own = new ArrayList<>();
            products.add(own);
            for (Side side : sides) {
                List<LinearWeight> weights =
                        side.names().stream().map(layer.linears()::get).toList();
                Dtype compute = base.computeOf(weights.get(0));
                if (weights.stream().anyMatch(weight -> base.computeOf(weight) != compute)) {
                    close(products);
                    return Optional.empty();
                }
                ReadyProduct product = weights.get(0)
                        .product(weights.subList(1, weights.size()), compute)
                        .orElseGet(() -> ReadyProduct.dense(weights, compute));
                own.add(product);
                bytes += product.bytes();
            }
            // blocks are alike: the first one tells what all will take
            if (bytes > most || bytes * base.layers().size() / products.size() > most) {
                close(products);
                return Optional.empty();
            }
        }
        return Optional.of(new BlocksInPieces(decoder, sides, products));
    }

    private static boolean isDense(LinearWeight weight) {
        return weight instanceof DenseWeight
                || weight instanceof DiskWeight onDisk && onDisk.denseDtype().isPresent();
    }

    /** With more new tokens at once, the usual way is faster. */
    int mostTokens() {
        return products.stream()
                .flatMap(List::stream)
                .mapToInt(ReadyProduct::mostRows)
                .min()
                .orElseThrow();
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

    /** The logits of new tokens, which their caches have room for and do not count yet. */
    NDArray next(NDManager results, NewTokens tokens) {
        int count = tokens.inputIds().length;
        if (!tokens.each() && count > 1) {
            // a prompt is run once, tokens behind it many times
            try (Room room = new Room(count, 1)) {
                return room.run(results, tokens);
            }
        }
        if (kept == null || kept.tokens != count) {
            if (kept != null) {
                kept.close();
            }
            kept = new Room(count, count);
        }
        return kept.run(results, tokens);
    }

    /** The tensors between the pieces, for so many tokens, of whose last some the logits are wanted. */
    private final class Room implements AutoCloseable {

        private final NDManager owner = manager.newSubManager();
        private final Map<String, NDArray> tensors = new LinkedHashMap<>();
        private final List<TensorMap> layers = new ArrayList<>();
        private final List<List<Runnable>> multiplications = new ArrayList<>();
        private NDArray bound;

        private final int tokens;
        private final NDArray headRows;
        private final NDArray headProduct;
        private final Runnable headMultiplication;

        Room(int tokens, int wanted) {
            this.tokens = tokens;
            ModelConfig config = decoder.base().config();
            Dtype stream = decoder.base().stream();
            Map<String, Long> widths = new HashMap<>();
            Map<String, Long> ins = new HashMap<>();
            for (Family.Linear linear : config.family().linears(config)) {
                widths.put(linear.name(), linear.out());
                ins.put(linear.name(), linear.in());
            }
            tensors.put("x", Torch.empty(owner, stream, tokens, config.hiddenSize()));
            tensors.put("cos", Torch.empty(owner, stream, tokens, 1, config.headDim()));
            tensors.put("sin", Torch.empty(owner, stream, tokens, 1, config.headDim()));
            List<NDArray> inputs = new ArrayList<>();
            List<NDArray> results = new ArrayList<>();
            for (int i = 0; i < sides.size(); i++) {
                Side side = sides.get(i);
                Dtype dtype = products.get(0).get(i).dtype();
                long in = ins.get(side.names().get(0));
                NDArray input = tensors.computeIfAbsent(side.input(), k -> Torch.empty(owner, stream, tokens, in));
                inputs.add(
                        dtype == stream
                                ? input
                                : tensors.computeIfAbsent(
                                        side.input() + ".rows", k -> Torch.empty(owner, dtype, tokens, in)));
                NDArray all = Torch.empty(
                        owner,
                        dtype,
                        tokens,
                        side.names().stream().mapToLong(widths::get).sum());
                results.add(all);
                long first = 0;
                for (String name : side.names()) {
                    tensors.put(name, script.tensor(owner, "columns", all, first, widths.get(name)));
                    first += widths.get(name);
                }
            }
            for (List<ReadyProduct> block : products) {
                List<Runnable> own = new ArrayList<>();
                for (int i = 0; i < sides.size(); i++) {
                    own.add(block.get(i).between(inputs.get(i), results.get(i)));
                }
                multiplications.add(own);
            }
            headRows = Torch.empty(owner, Dtype.BFLOAT16, wanted, config.hiddenSize());
            headProduct = Torch.empty(owner, Dtype.BFLOAT16, wanted, config.vocabSize());
            headMultiplication = head.map(h -> h.between(headRows, headProduct)).orElse(null);
        }

        /** Puts together what the pieces take, with the cache of the one row that they are for; null where there are more. */
        private void bind(KvCache cache) {
            NDArray keys = cache == null ? null : cache.keys(0);
            if (!layers.isEmpty() && keys == bound) {
                return;
            }
            layers.forEach(TensorMap::close);
            layers.clear();
            bound = keys;
            for (int layer = 0; layer < products.size(); layer++) {
                Map<String, NDArray> all = new LinkedHashMap<>(tensors);
                all.putAll(decoder.besideLinears(layer));
                all.putAll(decoder.trained().layer(layer));
                if (cache != null) {
                    all.put("keys", cache.keys(layer));
                    all.put("values", cache.values(layer));
                }
                layers.add(new TensorMap(all));
            }
        }

        NDArray run(NDManager manager, NewTokens fresh) {
            double eps = decoder.base().config().rmsNormEps();
            boolean one = fresh.caches().size() == 1;
            bind(one ? fresh.caches().get(0) : null);
            int last = layers.size() - 1;
            long[] past = fresh.past();
            try (NDManager pass = manager.newSubManager()) {
                Rope.Angles angles = fresh.angles(pass, decoder.rope(), decoder.base().stream());
                NDArray x = decoder.embed(pass, fresh.inputIds());
                script.run("few_start", x, angles.cos(), angles.sin(), layers.get(0), eps);
            }
            for (int layer = 0; layer <= last; layer++) {
                TensorMap s = layers.get(layer);
                List<Runnable> product = multiplications.get(layer);
                product.get(0).run();
                if (one) {
                    script.run(
                            "few_attention",
                            s,
                            plain,
                            fresh.caches().get(0).length(),
                            decoder.shape(),
                            decoder.window(layer),
                            decoder.scale());
                } else {
                    script.run(
                            "few_attention_each",
                            s,
                            plain,
                            fresh.keys(layer),
                            fresh.values(layer),
                            past,
                            decoder.shape(),
                            decoder.window(layer),
                            decoder.scale());
                }
                product.get(1).run();
                script.run("few_residual", s, plain, eps);
                product.get(2).run();
                script.run("few_mix", s, plain);
                product.get(3).run();
                script.run("few_end", s, plain, layers.get(Math.min(layer + 1, last)), eps);
            }
            NDArray x = tensors.get("x");
            NDArray norm = decoder.base().norm();
            if (head.isEmpty()) {
                return script.tensor(manager, "next_logits", x, norm, eps, decoder.headWeight(), fresh.each());
            }
            script.run("head_input", x, norm, eps, headRows);
            headMultiplication.run();
            return script.tensor(manager, "head_logits", headProduct, fresh.each());
        }

        @Override
        public void close() {
            layers.forEach(TensorMap::close);
            owner.close();
        }
    }

    private static void close(List<List<ReadyProduct>> products) {
        products.stream().flatMap(List::stream).forEach(ReadyProduct::close);
    }

    @Override
    public void close() {
        if (kept != null) {
            kept.close();
        }
        close(products);
        head.ifPresent(ReadyProduct::close);
        manager.close();
    }
}
