package io.github.qlora4j.trainer.report;

/**
 * What one optimizer step was: a line of {@code metrics.jsonl}.
 *
 * @param step the step, from 1
 * @param epoch how much of the data was seen at its end, in epochs
 * @param loss the mean loss of the learned tokens of the step
 * @param gradNorm the global norm of the gradients before clipping
 * @param learningRate the learning rate that the step used
 * @param tokens real tokens of the step's rows; there is no padding
 * @param learnedTokens tokens that have a label
 * @param tokensPerSecond {@code tokens / seconds}
 * @param seconds how long the step took
 * @param peakRssBytes the process's high-water mark of resident memory so far, 0 where it is unknown
 */
public record StepMetrics(
        long step,
        double epoch,
        double loss,
        double gradNorm,
        double learningRate,
        long tokens,
        long learnedTokens,
        double tokensPerSecond,
        double seconds,
        long peakRssBytes) {}
