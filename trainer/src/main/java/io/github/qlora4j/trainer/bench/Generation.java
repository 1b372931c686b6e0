package io.github.qlora4j.trainer.bench;

/**
 * Greedy generation behind a prompt, one row.
 *
 * @param length tokens of the prompt
 * @param newTokens generated
 * @param firstTokenSeconds until the first of them; null where it was not measured
 * @param tokensPerSecond of the others; null likewise
 * @param peakBytes the process's resident memory at most meanwhile; null where the system does not tell
 * @param skipped why it was not measured; null where it was
 */
public record Generation(
        int length, int newTokens, Double firstTokenSeconds, Double tokensPerSecond, Long peakBytes, String skipped) {

    static Generation skipped(int length, int newTokens, String why) {
        return new Generation(length, newTokens, null, null, null, why);
    }
}
