package io.github.qlora4j.trainer.report;

import java.nio.file.Path;

/**
 * What is known after the last step.
 *
 * @param outputDir the folder that holds the adapter, the metrics and the checkpoints
 * @param steps the last step that was made
 * @param epochs how much of the data was seen, in epochs
 * @param finished whether the run came to its end; false where it was stopped and saved
 * @param picture the loss picture; null where none could be drawn
 * @param next the command to try next, without a line end
 */
public record RunEnd(Path outputDir, long steps, double epochs, boolean finished, Path picture, String next) {}
