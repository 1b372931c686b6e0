package io.github.qlora4j.trainer.generate;

import io.github.qlora4j.quant.QloraException;

/**
 * How the next token is chosen; names as in GenerationConfig.
 *
 * @param temperature logits are divided by it; 0 is greedy
 * @param topK only the k most probable tokens; 0 is all
 * @param topP only the most probable tokens that together reach this probability; 1 is all
 * @param repetitionPenalty logits of tokens seen are divided by it where positive, else multiplied; 1 is off
 * @param seed of the draws
 */
public record Sampling(double temperature, int topK, double topP, double repetitionPenalty, long seed) {

    /** The most probable token each time. */
    public static final Sampling GREEDY = new Sampling(0, 0, 1, 1, 0);

    /** Checks the ranges. */
    public Sampling {
        check(temperature >= 0 && Double.isFinite(temperature), "temperature must be >= 0", temperature);
        check(topK >= 0, "top_k must be >= 0", topK);
        check(topP > 0 && topP <= 1, "top_p must be in (0, 1]", topP);
        check(
                repetitionPenalty > 0 && Double.isFinite(repetitionPenalty),
                "repetition_penalty must be > 0",
                repetitionPenalty);
    }

    /** Whether nothing is drawn at random. */
    public boolean greedy() {
        return temperature == 0;
    }

    private static void check(boolean ok, String expected, double got) {
        if (!ok) {
            throw new QloraException(expected + ", got " + got);
        }
    }
}
