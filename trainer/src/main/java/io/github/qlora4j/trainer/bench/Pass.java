package io.github.qlora4j.trainer.bench;

/**
 * A forward pass through all blocks, and the head at the last token of each row.
 *
 * @param batch rows
 * @param length tokens of each row
 * @param seconds it takes; null where it was not measured
 * @param tokensPerSecond of all rows together; null likewise
 * @param peakBytes the process's resident memory at most meanwhile; null where the system does not tell
 * @param skipped why it was not measured; null where it was
 */
public record Pass(int batch, int length, Double seconds, Double tokensPerSecond, Long peakBytes, String skipped) {

    static Pass measured(BenchPlan.Cell cell, double seconds, Long peakBytes) {
        return new Pass(cell.batch(), cell.length(), seconds, cell.tokens() / seconds, peakBytes, null);
    }

    static Pass skipped(BenchPlan.Cell cell, String why) {
        return new Pass(cell.batch(), cell.length(), null, null, null, why);
    }
}
