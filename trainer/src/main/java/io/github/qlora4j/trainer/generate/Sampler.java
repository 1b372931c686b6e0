package io.github.qlora4j.trainer.generate;

import io.github.qlora4j.quant.QloraException;
import java.util.Arrays;
import java.util.BitSet;
import java.util.SplittableRandom;

/**
 * Chooses tokens of one row as a {@link Sampling} says, in the order of transformers' logits processors: penalty,
 * temperature, top-k, top-p ({@code generation/logits_process.py}).
 */
final class Sampler {

    private final Sampling sampling;
    private final SplittableRandom random;
    private final BitSet seen = new BitSet();

    Sampler(Sampling sampling, int[] prompt) {
        this.sampling = sampling;
        this.random = new SplittableRandom(sampling.seed());
        Arrays.stream(prompt).forEach(seen::set);
    }

    /**
     * Tokens that may be drawn, the most probable first.
     *
     * @param weights their probabilities up to a common factor, {@code sum} being 1
     */
    record Choices(int[] tokens, double[] weights, double sum) {}

    /** The next token; the logits are changed. */
    int next(float[] logits) {
        penalize(logits);
        int token = sampling.greedy() ? largest(logits) : draw(choices(logits));
        seen.set(token);
        return token;
    }

    /** RepetitionPenaltyLogitsProcessor. */
    void penalize(float[] logits) {
        if (sampling.repetitionPenalty() != 1) {
            float penalty = (float) sampling.repetitionPenalty();
            seen.stream().filter(id -> id < logits.length).forEach(id -> {
                logits[id] = logits[id] < 0 ? logits[id] * penalty : logits[id] / penalty;
            });
        }
    }

    private static int largest(float[] logits) {
        int best = 0;
        for (int i = 0; i < logits.length; i++) {
            if (logits[i] > logits[best]) {
                best = i;
            }
            if (Float.isNaN(logits[i])) {
                throw new QloraException("the model's scores for the next token are not numbers (NaN)");
            }
        }
        if (Float.isInfinite(logits[best])) {
            throw new QloraException("the model's scores for the next token are infinite");
        }
        return best;
    }

    /** TemperatureLogitsWarper, TopKLogitsWarper and TopPLogitsWarper. */
    Choices choices(float[] logits) {
        float most = logits[largest(logits)];
        int[] order = descending(logits);
        int count = sampling.topK() > 0 ? Math.min(sampling.topK(), order.length) : order.length;
        // all that equal the last of the k stay
        while (count < order.length && logits[order[count]] == logits[order[count - 1]]) {
            count++;
        }
        double[] weights = new double[count];
        double sum = 0;
        for (int i = 0; i < count; i++) {
            weights[i] = Math.exp((logits[order[i]] - most) / sampling.temperature());
            sum += weights[i];
        }
        double kept = 0;
        int choices = 0;
        // the token that crosses top_p is kept
        while (choices < count && (choices == 0 || kept < sampling.topP() * sum)) {
            kept += weights[choices++];
        }
        return new Choices(Arrays.copyOf(order, choices), Arrays.copyOf(weights, choices), kept);
    }

    /** Indices by falling value; those of equal values by rising index. Sorted as numbers, for vocabularies are large. */
    private static int[] descending(float[] values) {
        long[] keys = new long[values.length];
        for (int i = 0; i < keys.length; i++) {
            // -0 becomes 0; bits of negative floats fall where the floats rise
            int bits = Float.floatToIntBits(values[i] + 0f);
            int rising = bits < 0 ? bits ^ Integer.MAX_VALUE : bits;
            keys[i] = (long) ~rising << 32 | i;
        }
        Arrays.sort(keys);
        int[] order = new int[keys.length];
        for (int i = 0; i < order.length; i++) {
            order[i] = (int) keys[i];
        }
        return order;
    }

    private int draw(Choices choices) {
        double at = random.nextDouble() * choices.sum();
        for (int i = 0; i < choices.tokens().length; i++) {
            at -= choices.weights()[i];
            if (at < 0) {
                return choices.tokens()[i];
            }
        }
        return choices.tokens()[choices.tokens().length - 1];
    }
}
