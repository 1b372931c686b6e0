package io.github.qlora4j.trainer.train;

import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.trainer.model.ModelConfig;

/**
 * How many of the upper blocks keep the results of their linear layers, rather than making these again in the backward
 * pass.
 *
 * <p>The choice changes memory and time, not results.
 */
public sealed interface Recomputation {

    /** {@code gradient_checkpointing: true}: every block but the last, whose backward pass comes next anyway. */
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
        long more = this instanceof Within within
                ? within.bytes() / Math.max(1, tokens * partsBytesPerToken(config, stream))
                : 0;
        return (int) Math.min(layers, 1 + more);
    }

    /**
     * Bytes a token that a block which is not recomputed keeps beyond one that is: the results of its linear layers, but
     * for the two last ones.
     */
    static long partsBytesPerToken(ModelConfig config, Dtype stream) {
        long heads = (long) config.headDim() * (config.numAttentionHeads() + 2L * config.numKeyValueHeads());
        return stream.bytes() * (heads + 2L * config.intermediateSize());
    }

    /**
     * Bytes that a pass takes even where every block is recomputed: what each block keeps, the work on one block, the
     * scores of one block of queries with their gradients, and a chunk of logits with its probabilities.
     */
    static long leastBytes(ModelConfig config, Dtype stream, long tokens) {
        long kept = 3L * config.hiddenSize() * stream.bytes() * config.numHiddenLayers();
        // a half at work: its parts, their gradients, the mix and what autograd keeps of it; norms in float32
        long work = stream.bytes() * (6L * config.hiddenSize() + 4L * config.intermediateSize())
                + 2 * partsBytesPerToken(config, stream)
                + 16L * config.hiddenSize();
        long scores = 3L * 4194304 * stream.bytes();
        long chunk = 256L * config.vocabSize() * (4 + 2L * stream.bytes());
        return tokens * (kept + work) + Math.max(scores, chunk);
    }
}
