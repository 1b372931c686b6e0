package io.github.qlora4j.trainer.train;

import java.nio.file.Path;
import java.util.OptionalDouble;

/**
 * What a run gave.
 *
 * @param outputDir holds the adapter, the metrics and the checkpoints
 * @param steps the last step made
 * @param finished false where it was cancelled before its end
 * @param loss of the last step made here; empty where there was none left to make
 * @param bestEvalLoss the lowest, where there were evaluations
 */
public record TrainingResult(
        Path outputDir, long steps, boolean finished, OptionalDouble loss, OptionalDouble bestEvalLoss) {}
