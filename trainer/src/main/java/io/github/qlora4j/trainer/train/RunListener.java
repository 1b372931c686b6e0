package io.github.qlora4j.trainer.train;

import io.github.qlora4j.trainer.generate.HeldOutAnswers;
import io.github.qlora4j.trainer.report.EvalMetrics;
import io.github.qlora4j.trainer.report.RunEnd;
import io.github.qlora4j.trainer.report.RunStart;
import io.github.qlora4j.trainer.report.StepMetrics;
import java.nio.file.Path;

/** Follows a run. All methods are called on the thread that trains, and do nothing unless overridden. */
public interface RunListener {

    /** What is being done before the first step, for instance that the base is loaded. */
    default void preparing(String what) {}

    /** Everything is ready for the first step. */
    default void starting(RunStart start) {}

    /** A step is done. */
    default void step(StepMetrics metrics) {}

    /** The step just done is one to show, as {@code training.logging_strategy} and {@code logging_steps} say. */
    default void logged(StepMetrics metrics) {}

    /** An evaluation is done. */
    default void evaluated(EvalMetrics metrics) {}

    /** A checkpoint stands in its place. */
    default void saved(Path checkpoint) {}

    /**
     * The instructions of {@code data.eval} were answered; before the first step, and after the last.
     *
     * @param before how many were right before the first step
     * @param after how many are right after the last; null before it
     */
    default void answered(HeldOutAnswers before, HeldOutAnswers after) {}

    /** Something that the user should know. */
    default void warning(String message) {}

    /** The run is over, and its files are written. */
    default void finished(RunEnd end) {}
}
