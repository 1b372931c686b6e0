package io.github.qlora4j.trainer.report;

/**
 * What one evaluation gave: a line of {@code metrics.jsonl} with {@code eval_loss}.
 *
 * @param step the step after which it was made, 0 for before the first
 * @param epoch how much of the data was seen by then, in epochs
 * @param evalLoss the mean loss over all learned tokens of the evaluation rows
 * @param learnedTokens how many tokens that is a mean over
 * @param seconds how long it took
 */
public record EvalMetrics(long step, double epoch, double evalLoss, long learnedTokens, double seconds) {}
