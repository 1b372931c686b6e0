/**
 * What a run tells about itself: progress and metrics while it goes, table, picture and model card at its end.
 *
 * <p>Nothing here computes or decides anything, and nothing of the model is known here: records of what happened come in
 * ({@link io.github.qlora4j.trainer.report.StepMetrics}, {@link io.github.qlora4j.trainer.report.EvalMetrics}), lines and
 * files go out. Only the command line lets it print.
 */
package io.github.qlora4j.trainer.report;
