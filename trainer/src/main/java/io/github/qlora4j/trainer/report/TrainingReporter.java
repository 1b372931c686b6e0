package io.github.qlora4j.trainer.report;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import me.tongfei.progressbar.DelegatingProgressBarConsumer;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;

/**
 * Shows a run to the person who started it.
 *
 * <p>Before the first step: effective batch, trainable parameters, steps and notes. While it goes: a progress bar on a
 * terminal; elsewhere a plain line for each step that is logged. At the end: a table
 * and the next command to try. The caller closes it; a bar that still stands is then taken away.
 */
public final class TrainingReporter implements AutoCloseable {
    private final Screen screen;
    private RunStart start;
    private ProgressBar bar;
    private double seconds;
    private long tokens;
    private long learnedTokens;
    private long stepsMade;
    private StepMetrics first;
    private StepMetrics last;
    private EvalMetrics firstEval;
    private EvalMetrics bestEval;

    /** Makes a reporter that shows one run. */
    public TrainingReporter(Screen screen) {
        this.screen = screen;
    }

    /** Called once, before the first step. */
    public void starting(RunStart run) {
        start = run;
        screen.line(String.format(
                Locale.ROOT,
                "effective batch: %d x %d = %d rows || rows: %,d || epochs: %s || steps: %,d%s",
                run.batchSize(),
                run.accumulation(),
                (long) run.batchSize() * run.accumulation(),
                run.rows(),
                trimmed(run.epochs()),
                run.steps(),
                run.doneSteps() > 0 ? " (resumed after step " + run.doneSteps() + ")" : ""));
        screen.line(Figures.trainable(run.trainable(), run.parameters()));
        run.notes().forEach(screen::line);
        if (screen.columns() > 0) {
            bar = new ProgressBarBuilder()
                    .setTaskName("train")
                    .setInitialMax(run.steps())
                    .startsFrom(run.doneSteps(), java.time.Duration.ZERO)
                    .setStyle(ProgressBarStyle.ASCII)
                    .setUpdateIntervalMillis(500)
                    .setConsumer(new DelegatingProgressBarConsumer(screen::live, screen.columns() - 1))
                    .build();
        }
    }

    /** Called after each optimizer step. */
    public void step(StepMetrics step) {
        first = first == null ? step : first;
        last = step;
        stepsMade++;
        tokens += step.tokens();
        learnedTokens += step.learnedTokens();
        seconds += step.seconds();
        if (bar != null) {
            bar.stepTo(step.step());
        }
    }

    /** Called after {@link #step} for the steps whose figures are to be shown. */
    public void logged(StepMetrics step) {
        if (bar != null) {
            bar.setExtraMessage(figures(step));
        } else {
            double left = seconds / stepsMade * (start.steps() - step.step());
            screen.line(String.format(
                    Locale.ROOT,
                    "step %d/%d  epoch %.2f  %s  %s left",
                    step.step(),
                    start.steps(),
                    step.epoch(),
                    figures(step),
                    Figures.duration(left)));
        }
    }

    /** Called after each evaluation. */
    public void evaluated(EvalMetrics eval) {
        firstEval = firstEval == null ? eval : firstEval;
        if (bestEval == null || eval.evalLoss() < bestEval.evalLoss()) {
            bestEval = eval;
        }
        screen.line(String.format(
                Locale.ROOT,
                "step %d  eval loss %.4f  perplexity %.2f  (%,d tokens in %s)",
                eval.step(),
                eval.evalLoss(),
                Math.exp(eval.evalLoss()),
                eval.learnedTokens(),
                Figures.duration(eval.seconds())));
    }

    /** Called once, after the last step and after everything was saved. */
    public void finished(RunEnd end) {
        close();
        List<String[]> table = new ArrayList<>();
        table.add(row(
                "steps", Figures.count(end.steps()) + (end.finished() ? "" : " of " + Figures.count(start.steps()))));
        table.add(row("epochs", trimmed(end.epochs())));
        if (last != null) {
            table.add(row("loss", range(first.loss(), last.loss())));
        }
        if (bestEval != null) {
            table.add(row(
                    "eval loss",
                    range(firstEval.evalLoss(), bestEval.evalLoss()) + ", best at step " + bestEval.step()));
        }
        table.add(row("tokens", Figures.count(tokens) + ", " + Figures.count(learnedTokens) + " learned"));
        table.add(row("time", Figures.duration(seconds)));
        if (seconds > 0) {
            table.add(row("tokens/s", Figures.count(Math.round(tokens / seconds))));
        }
        if (last != null && last.peakRssBytes() > 0) {
            table.add(row("peak memory", Figures.bytes(last.peakRssBytes())));
        }
        table.add(row("adapter", end.outputDir().toString()));
        if (end.picture() != null) {
            table.add(row("picture", end.picture().toString()));
        }
        table.forEach(cells -> screen.line(String.format(Locale.ROOT, "  %-12s %s", cells[0], cells[1])));
        if (!end.finished()) {
            screen.line("stopped; everything up to step " + end.steps() + " is saved");
        }
        if (end.next() != null) {
            screen.line("next: " + end.next());
        }
    }

    /** Takes the progress bar away. */
    @Override
    public void close() {
        if (bar != null) {
            bar.close();
            bar = null;
            screen.live("");
        }
    }

    private static String figures(StepMetrics step) {
        String memory = step.peakRssBytes() > 0 ? "  " + Figures.bytes(step.peakRssBytes()) : "";
        return String.format(
                Locale.ROOT,
                "loss %.4f  lr %.2e  %.0f tokens/s%s",
                step.loss(),
                step.learningRate(),
                step.tokensPerSecond(),
                memory);
    }

    private static String[] row(String name, String value) {
        return new String[] {name, value};
    }

    private static String range(double from, double to) {
        return Figures.decimal(from, 4) + " -> " + Figures.decimal(to, 4);
    }

    private static String trimmed(double value) {
        return value == Math.rint(value) ? Long.toString((long) value) : Figures.decimal(value, 2);
    }
}
