package io.github.qlora4j.trainer.generate;

/**
 * What a model answered.
 *
 * @param text without special tokens; empty where the model has no tokenizer
 * @param outputIds without the prompt, the stop token that ended it included
 * @param stopped a stop token ended it, not the limit
 * @param tokensPerSecond of all tokens but the first, which the prompt's own pass gives; 0 where there were fewer than two
 */
public record Reply(String text, int[] outputIds, boolean stopped, double tokensPerSecond) {
    /** Takes a copy of the ids. */
    public Reply {
        outputIds = outputIds.clone();
    }

    /** A copy of the ids. */
    @Override
    public int[] outputIds() {
        return outputIds.clone();
    }
}
