package io.github.qlora4j.trainer.cli;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.trainer.config.BuiltinTemplate;
import io.github.qlora4j.trainer.generate.Sampling;
import picocli.CommandLine.Option;

/** The flags that say how tokens are chosen, and how many. */
final class SamplingOptions {
    @Option(names = "--template", paramLabel = "NAME", description = "human_assistant or alpaca; the run's by default.")
    BuiltinTemplate template;

    @Option(
            names = "--max-new-tokens",
            paramLabel = "N",
            defaultValue = "256",
            description = "Tokens to generate at most; 256 is the default.")
    private int maxNewTokens;

    @Option(
            names = "--temperature",
            paramLabel = "T",
            defaultValue = "0",
            description = "0, the default, takes the most probable token each time; 1 draws as the model says.")
    private double temperature;

    @Option(
            names = "--top-k",
            paramLabel = "K",
            defaultValue = "0",
            description = "Draw from the K most probable tokens; 0, the default, is all.")
    private int topK;

    @Option(
            names = "--top-p",
            paramLabel = "P",
            defaultValue = "1",
            description = "Draw from the most probable tokens that together reach P; 1, the default, is all.")
    private double topP;

    @Option(
            names = "--repetition-penalty",
            paramLabel = "R",
            defaultValue = "1",
            description = "Above 1, tokens that were seen become less probable; 1, the default, is off.")
    private double repetitionPenalty;

    @Option(names = "--seed", paramLabel = "S", defaultValue = "0", description = "Seed of the draws; 0 by default.")
    private long seed;

    Sampling sampling() {
        try {
            return new Sampling(temperature, topK, topP, repetitionPenalty, seed);
        } catch (QloraException e) {
            throw new WrongUse(e);
        }
    }

    int maxNewTokens() {
        if (maxNewTokens < 1) {
            throw new WrongUse("--max-new-tokens is " + maxNewTokens + "; at least 1 is expected");
        }
        return maxNewTokens;
    }
}
