package io.github.qlora4j.trainer.train;

import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.trainer.model.ModelConfig;

/**
 * How many of the upper blocks keep their whole graph, rather than being recomputed in the backward pass.
 *
 * <p>The choice changes memory and time, not results.
 */
public sealed interface Recomputation {

    /** {@code gradient_checkpointing: true}: every block is recomputed. */
    record All() implements Recomputation {}

    /** {@code gradient_checkpointing: false}: none is. */
    record None() implements Recomputation {}

    /**
     * {@code gradient_checkpointing: auto}: as few as fit.
     *
     * @param bytes memory that kept graphs may take
     */
    record Within(long bytes) implements Recomputation {}

    /** Blocks that keep their graph in a pass over so many tokens. */
    default int keptBlocks(ModelConfig config, Dtype stream, Dtype adapter, long tokens) {
        int layers = config.numHiddenLayers();
        if (this instanceof None) {
            return layers;
        }
        if (this instanceof Within within) {
            long each = tokens * graphBytesPerToken(config, stream, adapter);
            return (int) Math.max(0, Math.min(layers, within.bytes() / Math.max(1, each)));
        }
        return 0;
    }

    /**
     * Bytes that the graph of one block takes a token, beyond what a recomputed one keeps.
     *
     * <p>Counted from what autograd saves: both norms' float32 inputs and their results, query, key and value, and
     * four tensors of the MLP's width; a float32 adapter's cast of each linear layer's input besides.
     */
    static long graphBytesPerToken(ModelConfig config, Dtype stream, Dtype adapter) {
        long hidden = config.hiddenSize();
        long heads = (long) config.headDim() * (config.numAttentionHeads() + 2L * config.numKeyValueHeads());
        long saved = 2 * 4 * hidden + stream.bytes() * (2 * hidden + heads + 4L * config.intermediateSize());
        return adapter == stream ? saved : saved + 5L * adapter.bytes() * hidden;
    }

    /**
     * Bytes that a pass takes even where every block is recomputed: what each block keeps, the graph of the one at work,
     * and a chunk of logits with its gradient.
     */
    static long leastBytes(ModelConfig config, Dtype stream, long tokens) {
        long kept = (3L * config.hiddenSize() * stream.bytes() + 4L * config.numAttentionHeads())
                * config.numHiddenLayers();
        long chunk = 256L * config.vocabSize() * 12;
        return tokens * (kept + 2 * graphBytesPerToken(config, stream, Dtype.FLOAT32)) + chunk;
    }
}
