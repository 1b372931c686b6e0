package io.github.qlora4j.trainer.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.DenseWeight;
import io.github.qlora4j.quant.FewRowsProduct;
import io.github.qlora4j.quant.LinearWeight;
import io.github.qlora4j.quant.Scratch;
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

/**
 * Runs new tokens of one row after those in a cache.
 *
 * <p>Quantized weights are worked out for each call, unless {@link #keepWeights} was called. It borrows the decoder; for
 * one thread at a time. Closing it frees what it keeps.
 */
public final class CachedDecoder implements AutoCloseable {

    /** With more new tokens at once, working the weights out costs less than a kernel for few rows. */
    private static final int FEW = 32;

    private final Decoder decoder;
    private final TorchScript script;
    private final Map<String, Scratch> shared = new HashMap<>();
    private final List<Block> blocks = new ArrayList<>();
    private final NDManager manager = Torch.newManager();
    private final Map<String, NDArray> single = new HashMap<>();
    private boolean asked;

    /**
     * What is kept of a block.
     *
     * @param products by the linear layer's name, or empty
     * @param beside what the block has beside the weights of its linear layers; null where there are no products
     * @param trained what is trained on it; null likewise
     * @param dense all frozen tensors as products take them, or empty
     */
    private record Block(
            Map<String, FewRowsProduct> products,
            TensorMap beside,
            TensorMap trained,
            Map<String, NDArray> dense,
            Map<String, Scratch> scratch) {}

    /** Borrows the decoder. */
    public CachedDecoder(Decoder decoder) {
        this.decoder = decoder;
        this.script = decoder.script();
    }

    /** The decoder that it runs. */
    public Decoder decoder() {
        return decoder;
    }

    /** An empty cache for one row; the caller closes it. */
    public KvCache newCache() {
        return new KvCache(decoder.base().config(), decoder.base().stream());
    }

    /**
     * Keeps quantized weights ready from now on, so that a token costs no dequantization: laid out for a kernel that
     * multiplies them as they are, where the scheme has one, else worked out in the compute dtype. A scheme with a product
     * of its own needs neither.
     *
     * <p>Calls after the first one do nothing.
     *
     * @param most bytes that this may take; where it takes more, nothing is kept
     */
    public void keepWeights(long most) {
        if (asked) {
            return;
        }
        asked = true;
        if (!keepProducts(most) && denseBytes() <= most) {
            for (int layer = 0; layer < decoder.base().layers().size(); layer++) {
                Map<String, Scratch> own = new HashMap<>();
                // a block on the disk stays there
                boolean inMemory = decoder.base().layers().get(layer).inMemory();
                Map<String, NDArray> dense = inMemory ? decoder.operands(layer, own) : Map.of();
                blocks.add(new Block(Map.of(), null, null, dense, own));
            }
        }
    }

    private boolean keepProducts(long most) {
        long bytes = 0;
        for (int layer = 0; layer < decoder.base().layers().size(); layer++) {
            Map<String, FewRowsProduct> products = new LinkedHashMap<>();
            blocks.add(new Block(
                    products,
                    new TensorMap(decoder.besideLinears(layer)),
                    new TensorMap(decoder.trained().layer(layer)),
                    Map.of(),
                    Map.of()));
            for (Map.Entry<String, LinearWeight> linear :
                    decoder.base().layers().get(layer).linears().entrySet()) {
                Optional<FewRowsProduct> product =
                        linear.getValue().fewRows(decoder.base().computeOf(linear.getValue()));
                product.ifPresent(p -> products.put(linear.getKey(), p));
                bytes += product.map(FewRowsProduct::bytes).orElse(0L);
                if (product.isEmpty() || bytes > most) {
                    // all layers or none: a mixture would need both ways for every token
                    forget();
                    return false;
                }
            }
        }
        return true;
    }

    /** Bytes of the weights that are worked out to be kept, where none has a kernel for few rows. */
    long denseBytes() {
        long bytes = 0;
        for (BaseModel.Layer layer : decoder.base().layers()) {
            for (LinearWeight weight : layer.linears().values()) {
                if (!(weight instanceof DenseWeight || weight instanceof DiskWeight) && !weight.hasOwnProduct()) {
                    bytes += weight.rows()
                            * weight.cols()
                            * decoder.base().computeOf(weight).bytes();
                }
            }
        }
        return bytes;
    }

    /**
     * New tokens of one row after those in the cache, which grows by them.
     *
     * @return the logits of the last token, float32 {@code [vocab_size]}
     */
    public NDArray next(NDManager manager, int[] inputIds, KvCache cache) {
        BaseModel base = decoder.base();
        double eps = base.config().rmsNormEps();
        try (NDManager pass = manager.newSubManager()) {
            cache.reserve(inputIds.length);
            Rope.Angles angles = decoder.rope().from(pass, cache.length(), inputIds.length, base.stream());
            NDArray x = decoder.embed(pass, inputIds);
            for (int layer = 0; layer < base.layers().size(); layer++) {
                boolean few = inputIds.length <= FEW
                        && !blocks.isEmpty()
                        && !blocks.get(layer).products().isEmpty();
                NDArray y = few ? byProducts(pass, layer, x, angles, cache) : byWeights(pass, layer, x, angles, cache);
                x.close();
                x = y;
            }
            cache.grow(inputIds.length);
            return script.tensor(manager, "last_logits", x, base.norm(), eps, decoder.headWeight());
        }
    }

    private NDArray byWeights(NDManager pass, int layer, NDArray x, Rope.Angles angles, KvCache cache) {
        boolean kept = !blocks.isEmpty() && !blocks.get(layer).dense().isEmpty();
        return script.tensor(
                pass,
                "block_cached",
                x,
                kept ? blocks.get(layer).dense() : decoder.operands(layer, shared),
                decoder.trained().layer(layer),
                angles.cos(),
                angles.sin(),
                cache.keys(layer),
                cache.values(layer),
                cache.length(),
                decoder.shape(),
                decoder.window(layer),
                decoder.base().config().rmsNormEps(),
                decoder.scale());
    }

    /** The same block in pieces, between which the products are made by a kernel outside the engine. */
    private NDArray byProducts(NDManager pass, int layer, NDArray x, Rope.Angles angles, KvCache cache) {
        TensorMap w = blocks.get(layer).beside();
        TensorMap t = blocks.get(layer).trained();
        double eps = decoder.base().config().rmsNormEps();
        List<String> names = List.copyOf(blocks.get(layer).products().keySet());
        int mlp = names.indexOf(decoder.base().config().family().attentionLast()) + 1;

        NDArray n = script.tensor(pass, "attention_start", x, w, eps);
        NDArray o = script.tensor(
                pass,
                "attention_between",
                products(pass, layer, n, names.subList(0, mlp - 1)),
                n,
                w,
                t,
                angles.cos(),
                angles.sin(),
                cache.keys(layer),
                cache.values(layer),
                cache.length(),
                decoder.shape(),
                decoder.window(layer),
                decoder.scale());
        NDList half = script.tensors(
                pass,
                "mlp_start",
                products(pass, layer, o, names.subList(mlp - 1, mlp)).get(0),
                o,
                x,
                w,
                t,
                eps);
        NDArray h = half.get(0);
        n = half.get(1);
        NDArray m = script.tensor(
                pass, "mlp_between", products(pass, layer, n, names.subList(mlp, names.size() - 1)), n, w, t);
        NDList last = products(pass, layer, m, names.subList(names.size() - 1, names.size()));
        return script.tensor(pass, "mlp_end", last.get(0), m, h, w, t);
    }

    private NDList products(NDManager pass, int layer, NDArray x, List<String> names) {
        NDArray rows = decoder.base().stream() == Dtype.BFLOAT16 ? x : Torch.cast(pass, x, Dtype.BFLOAT16);
        NDList results = new NDList();
        for (String name : names) {
            NDArray y = result(pass, name, x.getShape().get(0));
            blocks.get(layer).products().get(name).multiply(rows, y);
            results.add(y);
        }
        return results;
    }

    /** Where a product goes. That of a single row is used by all blocks in turn: nothing refers to it after its block. */
    private NDArray result(NDManager pass, String name, long rows) {
        long out = decoder.base().layers().get(0).linears().get(name).rows();
        return rows > 1
                ? Torch.empty(pass, Dtype.BFLOAT16, rows, out)
                : single.computeIfAbsent(name, k -> Torch.empty(manager, Dtype.BFLOAT16, 1, out));
    }

    private void forget() {
        for (Block block : blocks) {
            block.products().values().forEach(FewRowsProduct::close);
            block.scratch().values().forEach(Scratch::close);
            if (block.beside() != null) {
                block.beside().close();
                block.trained().close();
            }
        }
        blocks.clear();
    }

    @Override
    public void close() {
        forget();
        shared.values().forEach(Scratch::close);
        shared.clear();
        manager.close();
    }
}
