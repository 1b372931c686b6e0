package io.github.qlora4j.trainer.train;

/**
 * The evaluation with the lowest loss so far, and how long ago a loss was lower by enough to go on: what transformers'
 * Trainer and EarlyStoppingCallback keep.
 *
 * @param loss null before the first evaluation
 * @param step it was measured at; 0 before the first
 * @param withoutGain evaluations since one that was lower than the lowest before it by more than the threshold
 */
record BestEvaluation(Double loss, long step, int withoutGain) {

    static final BestEvaluation NONE = new BestEvaluation(null, 0, 0);

    /**
     * What is kept after one more evaluation.
     *
     * @param threshold {@code early_stopping_threshold}; it decides on stopping, not on which one is best
     */
    BestEvaluation after(long evaluated, double measured, double threshold) {
        boolean lower = loss == null || measured < loss;
        boolean gain = loss == null || measured < loss && loss - measured > threshold;
        int without = gain ? 0 : withoutGain + 1;
        return lower ? new BestEvaluation(measured, evaluated, without) : new BestEvaluation(loss, step, without);
    }

    /** Whether to stop early; never with a patience of 0. */
    boolean exhausts(int patience) {
        return patience > 0 && withoutGain >= patience;
    }
}
