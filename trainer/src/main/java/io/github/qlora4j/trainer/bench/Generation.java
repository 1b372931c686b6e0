package io.github.qlora4j.trainer.bench;

/**
 * Greedy generation behind prompts of one length, a token of each row at a time.
 *
 * @param batch rows that are generated together
 * @param length tokens of each prompt
 * @param newTokens generated for each
 * @param firstTokenSeconds until all rows have the first of them; null where it was not measured
 * @param tokensPerSecond of the others, of all rows; null likewise
 * @param peakBytes the process's resident memory at most meanwhile; null where the system does not tell
 * @param skipped why it was not measured; null where it was
 */
public record Generation(
        int batch,
        int length,
        int newTokens,
        Double firstTokenSeconds,
        Double tokensPerSecond,
        Long peakBytes,
        String skipped) {

    /**
     * Of a batch that had its first tokens after {@code first} seconds and all the others {@code others} seconds later.
     */
    static Generation measured(BenchPlan.Cell cell, int newTokens, double first, double others, Long peakBytes) {
        double rate = cell.batch() * (newTokens - 1) / others;
        return new Generation(cell.batch(), cell.length(), newTokens, first, rate, peakBytes, null);
    }

    static Generation skipped(BenchPlan.Cell cell, int newTokens, String why) {
        return new Generation(cell.batch(), cell.length(), newTokens, null, null, null, why);
    }
}
