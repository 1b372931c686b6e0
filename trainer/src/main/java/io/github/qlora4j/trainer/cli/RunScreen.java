package io.github.qlora4j.trainer.cli;

import io.github.qlora4j.trainer.generate.HeldOutAnswers;
import io.github.qlora4j.trainer.report.EvalMetrics;
import io.github.qlora4j.trainer.report.RunEnd;
import io.github.qlora4j.trainer.report.RunStart;
import io.github.qlora4j.trainer.report.Screen;
import io.github.qlora4j.trainer.report.StepMetrics;
import io.github.qlora4j.trainer.report.TrainingReporter;
import io.github.qlora4j.trainer.train.RunListener;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** Shows a run on the terminal. */
final class RunScreen implements RunListener {

    private final Screen screen;
    private final TrainingReporter reporter;
    private final List<String> notes;
    private volatile boolean started;
    private HeldOutAnswers before;
    private HeldOutAnswers after;

    RunScreen(Screen screen, TrainingReporter reporter, List<String> notes) {
        this.screen = screen;
        this.reporter = reporter;
        this.notes = notes;
    }

    /** Whether the run is at its steps, and has something to save. */
    boolean hasStarted() {
        return started;
    }

    /** Answers right before the first step, or null. */
    HeldOutAnswers answersBefore() {
        return before;
    }

    /** Answers right after the last step, or null. */
    HeldOutAnswers answersAfter() {
        return after;
    }

    @Override
    public void preparing(String what) {
        screen.line(what + "...");
    }

    @Override
    public void starting(RunStart start) {
        started = true;
        List<String> all = new ArrayList<>(start.notes());
        all.addAll(notes);
        reporter.starting(new RunStart(
                start.rows(),
                start.batchSize(),
                start.accumulation(),
                start.epochs(),
                start.steps(),
                start.doneSteps(),
                start.trainable(),
                start.parameters(),
                all));
    }

    @Override
    public void step(StepMetrics metrics) {
        reporter.step(metrics);
    }

    @Override
    public void logged(StepMetrics metrics) {
        reporter.logged(metrics);
    }

    @Override
    public void evaluated(EvalMetrics metrics) {
        reporter.evaluated(metrics);
    }

    @Override
    public void answered(HeldOutAnswers before, HeldOutAnswers after) {
        this.before = before;
        this.after = after;
        if (after == null) {
            screen.line(String.format(
                    Locale.ROOT,
                    "held-out answers right before training: %.1f %% (%d instructions)",
                    before.percent(),
                    before.asked()));
        }
    }

    @Override
    public void warning(String message) {
        screen.line("warning: " + message);
    }

    @Override
    public void finished(RunEnd end) {
        reporter.finished(end);
    }
}
