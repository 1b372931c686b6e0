package io.github.qlora4j.trainer.model;

import io.github.qlora4j.quant.torch.Dtype;

/**
 * How many of the upper blocks keep the results of their linear layers, rather than making these again in the backward
 * pass.
 *
 * <p>The choice changes memory and time, not results.
 */
public sealed interface Recomputation {

    /** What parts may take where nobody says how much: little beside any model worth recomputing for. */
    long ALLOWANCE = 128L << 20;

    /** attention.py's most_scores. */
    long MOST_SCORES = 1L << 22;

    /**
     * {@code gradient_checkpointing: true}: every block but as many as {@link #ALLOWANCE} holds, and the last, whose
     * backward pass comes next anyway.
     */
    record All() implements Recomputation {}

    /** {@code gradient_checkpointing: false}: none is. */
    record None() implements Recomputation {}

    /**
     * {@code gradient_checkpointing: auto}: as few as fit.
     *
     * @param bytes memory that what is kept may take
     */
    record Within(long bytes) implements Recomputation {}

    /** Blocks that keep their parts in a pass over so many tokens. */
    default int keptBlocks(ModelConfig config, Dtype stream, long tokens) {
        int layers = config.numHiddenLayers();
        if (this instanceof None) {
            return layers;
        }
        long bytes = this instanceof Within within ? within.bytes() : ALLOWANCE;
        long more = bytes / Math.max(1, tokens * partsBytesPerToken(config, stream));
        return (int) Math.min(layers, 1 + Math.max(0, Math.min(layers, more)));
    }

    /** Bytes a token that every block keeps: its input, attention's result, the residual between the halves. */
    static long keptBytesPerToken(ModelConfig config, Dtype stream) {
        return stream.bytes() * (2L * config.hiddenSize() + (long) config.headDim() * config.numAttentionHeads());
    }

    /**
     * Bytes a token that a block which is not recomputed keeps besides: the results of its linear layers, but for the
     * two last ones.
     */
    static long partsBytesPerToken(ModelConfig config, Dtype stream) {
        long heads = (long) config.headDim() * (config.numAttentionHeads() + 2L * config.numKeyValueHeads());
        return stream.bytes() * (heads + 2L * config.intermediateSize());
    }

    /** Bytes a token of the half at work: its parts, their gradients, the mix, and norms in float32. */
    static long workBytesPerToken(ModelConfig config, Dtype stream) {
        return stream.bytes() * (6L * config.hiddenSize() + 4L * config.intermediateSize())
                + 2 * partsBytesPerToken(config, stream)
                + 16L * config.hiddenSize();
    }

    /**
     * Bytes that a pass takes once: the scores of one block of queries with their gradients, or, at another time, a chunk
     * of logits with its probabilities. Neither grows beyond a bound.
     */
    static long onceBytes(ModelConfig config, Dtype stream, long tokens) {
        double all = (double) config.numAttentionHeads() * tokens * tokens;
        long scores = 3 * (long) Math.min(MOST_SCORES, all) * stream.bytes();
        long chunk =
                Math.min(Decoder.HEAD_CHUNK, tokens) * (long) config.vocabSize() * (Float.BYTES + 2L * stream.bytes());
        return Math.max(scores, chunk);
    }

    /** Bytes that a pass takes even where every block is recomputed. */
    static long leastBytes(ModelConfig config, Dtype stream, long tokens) {
        long kept = keptBytesPerToken(config, stream) * config.numHiddenLayers();
        return tokens * (kept + workBytesPerToken(config, stream)) + onceBytes(config, stream, tokens);
    }
}
