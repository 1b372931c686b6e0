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
 * Runs new tokens after those in a cache: several of one row, or one of each of several rows.
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
        return newCache(KvCache.FIRST_CAPACITY);
    }

    /** An empty cache for one row that is expected to reach so many tokens; the caller closes it. */
    public KvCache newCache(int tokens) {
        return new KvCache(decoder.base().config(), decoder.base().stream(), Math.max(1, tokens));
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
        // a block on the disk stays there
        if (!decoder.base().placement().usesDisk()
                && decoder.base()
                        .weights()
                        .allMatch(weight -> weight instanceof DenseWeight || weight.hasOwnProduct())) {
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
        return next(manager, inputIds, List.of(cache), false);
    }

    /**
     * A new token of each of several rows; each cache grows by one.
     *
     * @return their logits, float32 {@code [rows, vocab_size]}
     */
    public NDArray nextOfEach(NDManager manager, int[] inputIds, List<KvCache> caches) {
        if (inputIds.length != caches.size()) {
            throw new IllegalArgumentException(inputIds.length + " tokens for " + caches.size() + " rows");
        }
        return next(manager, inputIds, caches, true);
    }

    private NDArray next(NDManager manager, int[] inputIds, List<KvCache> caches, boolean each) {
        int perRow = each ? 1 : inputIds.length;
        caches.forEach(cache -> cache.reserve(perRow));
        NewTokens tokens = new NewTokens(inputIds, caches, each);
        NDArray logits = pieces.isPresent() && inputIds.length <= pieces.get().mostTokens()
                ? pieces.get().next(manager, tokens)
                : byWeights(manager, tokens);
        caches.forEach(cache -> cache.grow(perRow));
        return logits;
    }

    private NDArray byWeights(NDManager manager, NewTokens tokens) {
        BaseModel base = decoder.base();
        double eps = base.config().rmsNormEps();
        try (NDManager pass = manager.newSubManager()) {
            Rope.Angles angles = tokens.angles(pass, decoder.rope(), base.stream());
            NDArray x = decoder.embed(pass, tokens.inputIds());
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
                        tokens.keys(layer),
                        tokens.values(layer),
                        tokens.past(),
                        decoder.shape(),
                        decoder.window(layer),
                        eps,
                        decoder.scale());
                x.close();
                x = y;
            }
            return script.tensor(manager, "next_logits", x, base.norm(), eps, decoder.headWeight(), tokens.each());
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
