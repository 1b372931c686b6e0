package io.github.qlora4j.trainer.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.DenseWeight;
import io.github.qlora4j.quant.Scratch;
import io.github.qlora4j.quant.torch.TensorMap;
import io.github.qlora4j.quant.torch.TorchScript;
import java.util.ArrayList;
import java.util.HashMap;
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

    private final Decoder decoder;
    private final TorchScript script;
    private final Map<String, Scratch> shared = new HashMap<>();
    private final List<Kept> kept = new ArrayList<>();
    private Optional<BlocksInPieces> pieces = Optional.empty();
    private boolean asked;

    /** The tensors of a block whose weights are never worked out, put together once. */
    private record Kept(TensorMap frozen, TensorMap trained, Map<String, Scratch> scratch) {}

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
     * of its own, and a base that is not quantized, need neither.
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
        pieces = BlocksInPieces.of(decoder, most);
        if (decoder.base().weights().allMatch(weight -> weight instanceof DenseWeight || weight.hasOwnProduct())) {
            for (int layer = 0; layer < decoder.base().layers().size(); layer++) {
                Map<String, Scratch> own = new HashMap<>();
                kept.add(new Kept(
                        new TensorMap(decoder.operands(layer, own)),
                        new TensorMap(decoder.trained().layer(layer)),
                        own));
            }
        }
    }

    /**
     * New tokens of one row after those in the cache, which grows by them.
     *
     * @return the logits of the last token, float32 {@code [vocab_size]}
     */
    public NDArray next(NDManager manager, int[] inputIds, KvCache cache) {
        cache.reserve(inputIds.length);
        NDArray logits = pieces.isPresent() && inputIds.length <= pieces.get().mostTokens()
                ? pieces.get().next(manager, inputIds, cache)
                : byWeights(manager, inputIds, cache);
        cache.grow(inputIds.length);
        return logits;
    }

    private NDArray byWeights(NDManager manager, int[] inputIds, KvCache cache) {
        BaseModel base = decoder.base();
        double eps = base.config().rmsNormEps();
        try (NDManager pass = manager.newSubManager()) {
            Rope.Angles angles = decoder.rope().from(pass, cache.length(), inputIds.length, base.stream());
            NDArray x = decoder.embed(pass, inputIds);
            for (int layer = 0; layer < base.layers().size(); layer++) {
                NDArray y = script.tensor(
                        pass,
                        "block_cached",
                        x,
                        kept.isEmpty()
                                ? decoder.operands(layer, shared)
                                : kept.get(layer).frozen(),
                        kept.isEmpty()
                                ? decoder.trained().layer(layer)
                                : kept.get(layer).trained(),
                        angles.cos(),
                        angles.sin(),
                        cache.keys(layer),
                        cache.values(layer),
                        cache.length(),
                        decoder.shape(),
                        decoder.window(layer),
                        eps,
                        decoder.scale());
                x.close();
                x = y;
            }
            return script.tensor(manager, "last_logits", x, base.norm(), eps, decoder.headWeight());
        }
    }

    @Override
    public void close() {
        pieces.ifPresent(BlocksInPieces::close);
        for (Kept block : kept) {
            block.frozen().close();
            block.trained().close();
            block.scratch().values().forEach(Scratch::close);
        }
        kept.clear();
        shared.values().forEach(Scratch::close);
        shared.clear();
    }
}
