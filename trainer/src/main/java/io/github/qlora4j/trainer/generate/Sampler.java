package io.github.qlora4j.trainer.generate;

import java.util.Arrays;
import java.util.BitSet;
import java.util.SplittableRandom;

/**
 * Chooses tokens of one row as a {@link Sampling} says, in the order of transformers' logits processors: penalty,
 * temperature, top-k, top-p.
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

    /** The next token; the logits are changed. */
    int next(float[] logits) {
        if (sampling.repetitionPenalty() != 1) {
            float penalty = (float) sampling.repetitionPenalty();
            seen.stream().filter(id -> id < logits.length).forEach(id -> {
                logits[id] = logits[id] < 0 ? logits[id] * penalty : logits[id] / penalty;
            });
        }
        int token = sampling.greedy() ? largest(logits) : draw(logits);
        seen.set(token);
        return token;
    }

    private static int largest(float[] logits) {
        int best = 0;
        for (int i = 1; i < logits.length; i++) {
            if (logits[i] > logits[best]) {
                best = i;
            }
        }
        return best;
    }

    private int draw(float[] logits) {
        Integer[] order = new Integer[logits.length];
        Arrays.setAll(order, i -> i);
        Arrays.sort(order, (a, b) -> Float.compare(logits[b], logits[a]));
        int count = sampling.topK() > 0 ? Math.min(sampling.topK(), order.length) : order.length;
        double[] weights = new double[count];
        double sum = 0;
        for (int i = 0; i < count; i++) {
            weights[i] = Math.exp((logits[order[i]] - logits[order[0]]) / sampling.temperature());
            sum += weights[i];
        }
        double kept = 0;
        int choices = 0;
        // the token that crosses top_p is kept, as in TopPLogitsWarper
        while (choices < count && (choices == 0 || kept < sampling.topP() * sum)) {
            kept += weights[choices++];
        }
        double at = random.nextDouble() * kept;
        for (int i = 0; i < choices; i++) {
            at -= weights[i];
            if (at < 0) {
                return order[i];
            }
        }
        return order[choices - 1];
    }
}
