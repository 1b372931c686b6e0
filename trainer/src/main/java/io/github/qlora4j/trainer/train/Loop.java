package io.github.qlora4j.trainer.train;

import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.config.IntervalStrategy;
import io.github.qlora4j.trainer.config.ResolvedYaml;
import io.github.qlora4j.trainer.config.TrainingSection;
import io.github.qlora4j.trainer.data.Batch;
import io.github.qlora4j.trainer.data.BatchPlan;
import io.github.qlora4j.trainer.data.DataSource;
import io.github.qlora4j.trainer.data.Instructions;
import io.github.qlora4j.trainer.data.Row;
import io.github.qlora4j.trainer.generate.HeldOutAnswers;
import io.github.qlora4j.trainer.optim.Schedule;
import io.github.qlora4j.trainer.report.EvalMetrics;
import io.github.qlora4j.trainer.report.MetricsFile;
import io.github.qlora4j.trainer.report.Rss;
import io.github.qlora4j.trainer.report.StepMetrics;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.concurrent.atomic.AtomicBoolean;

/** The steps of a run, with evaluations and checkpoints between them. */
final class Loop {

    private final Run run;
    private final AtomicBoolean cancelled;
    private final TrainingSection training;
    private final BatchPlan plan;
    private final int total;
    private final Path metricsFile;
    private BestEvaluation best = BestEvaluation.NONE;
    private boolean evaluationDue;
    private double lastLoss = Double.NaN;
    private final List<Row.Instruction> questions;
    private HeldOutAnswers before;

    Loop(Run run, AtomicBoolean cancelled) {
        this.run = run;
        this.cancelled = cancelled;
        this.training = run.config().training();
        this.plan = run.plan();
        this.total = run.totalSteps();
        this.metricsFile = run.directory().path().resolve(RunDirectory.METRICS);
        this.questions = training.predictWithGenerate()
                ? Instructions.read(DataSource.eval(run.config().data()))
                : List.of();
        run.resumed().ifPresent(point -> {
            if (point.state().answeredBefore() != null) {
                before = new HeldOutAnswers(point.state().answeredBefore(), questions.size());
            }
            best = point.state().best();
            evaluationDue = point.state().evaluationDue();
        });
    }

    TrainingResult run() {
        int done =
                run.resumed().map(p -> Math.toIntExact(p.state().globalStep())).orElse(0);
        MetricsFile.cutBackTo(metricsFile, done, !evaluationDue);
        Outcome outcome = new Outcome(run, total);
        outcome.begin(done);
        if (!questions.isEmpty() && before == null) {
            Optional<HeldOutAnswers> answers = answers();
            if (answers.isEmpty()) {
                // cancelled: with a step made, they could not be had any more
                return result(done, false);
            }
            before = answers.get();
            run.listener().answered(before, null);
        }
        Schedule schedule = run.schedule();
        boolean stopped = false;
        try (MetricsFile metrics = MetricsFile.open(metricsFile)) {
            if (evaluationDue) {
                stopped = evaluate(metrics, done);
                metrics.sync();
                save(done);
            }
            while (done < total && !stopped && !evaluationDue) {
                step(metrics, done + 1, schedule.learningRate(done));
                done++;
                if (evaluationIsDue(done)) {
                    stopped = evaluate(metrics, done);
                }
                boolean save = done == total || stopped || cancelled.get() || saveIsDue(done) || isBest(done);
                if (save) {
                    metrics.sync();
                    save(done);
                }
                // cancelled since then: the next step is made and saved
                if (save && cancelled.get()) {
                    break;
                }
            }
        }
        boolean finished = (done >= total || stopped) && !evaluationDue;
        outcome.end(done, finished, best);
        if (finished && !questions.isEmpty()) {
            answers().ifPresent(after -> run.listener().answered(before, after));
        }
        return result(done, finished);
    }

    private TrainingResult result(int done, boolean finished) {
        return new TrainingResult(
                run.directory().path(),
                done,
                finished,
                Double.isNaN(lastLoss) ? OptionalDouble.empty() : OptionalDouble.of(lastLoss),
                best.loss() == null ? OptionalDouble.empty() : OptionalDouble.of(best.loss()));
    }

    private void step(MetricsFile metrics, int number, double learningRate) {
        long start = System.nanoTime();
        List<Batch> batches = plan.step(number - 1);
        TrainingStep.Result result = run.step().run(number, batches, learningRate);
        double seconds = (System.nanoTime() - start) / 1e9;
        lastLoss = result.loss();
        StepMetrics line = new StepMetrics(
                number,
                plan.epochAfter(number),
                result.loss(),
                result.gradNorm(),
                learningRate,
                result.tokens(),
                result.learnedTokens(),
                result.tokens() / seconds,
                seconds,
                Rss.peakBytes());
        metrics.write(line);
        run.listener().step(line);
        if (logIsDue(number)) {
            run.listener().logged(line);
        }
    }

    /** Empty where the run was cancelled meanwhile. */
    private Optional<HeldOutAnswers> answers() {
        return HeldOutAnswers.of(
                run.decoder(),
                run.tokenizer(),
                run.data().encoder(),
                questions,
                training.generationMaxNewTokens(),
                cancelled::get);
    }

    /** The first step is a sign of life, and the last one ends the list, however far apart the others are. */
    private boolean logIsDue(int step) {
        return training.loggingStrategy() != IntervalStrategy.NO
                && (step == 1 || step == total || due(training.loggingStrategy(), training.loggingSteps(), step));
    }

    private boolean evaluationIsDue(int step) {
        return run.data().eval().isPresent()
                && training.evaluates()
                && due(training.evalStrategy(), training.evalSteps(), step);
    }

    private boolean saveIsDue(int step) {
        return due(training.saveStrategy(), training.saveSteps(), step);
    }

    private boolean due(IntervalStrategy strategy, int every, int step) {
        return switch (strategy) {
            case NO -> false;
            case STEPS -> every > 0 && step % every == 0;
            case EPOCH -> step % plan.stepsPerEpoch() == 0 || step == total;
        };
    }

    /** Whether to stop early. An evaluation that is cancelled is due when the run goes on. */
    private boolean evaluate(MetricsFile metrics, int step) {
        long start = System.nanoTime();
        Optional<Evaluation> made = Evaluation.of(
                run.decoder(), run.data().eval().orElseThrow(), training.perDeviceEvalBatchSize(), cancelled::get);
        evaluationDue = made.isEmpty();
        if (evaluationDue) {
            return false;
        }
        Evaluation evaluation = made.get();
        EvalMetrics line = new EvalMetrics(
                step,
                plan.epochAfter(step),
                evaluation.loss(),
                evaluation.learnedTokens(),
                (System.nanoTime() - start) / 1e9);
        metrics.write(line);
        run.listener().evaluated(line);
        best = best.after(step, evaluation.loss(), training.earlyStoppingThreshold());
        return best.exhausts(training.earlyStoppingPatience());
    }

    /** Whether a step is the best so far and will be wanted at the end, so that it is saved though no save is due. */
    private boolean isBest(int step) {
        return training.loadBestModelAtEnd() && best.loss() != null && best.step() == step;
    }

    private void save(int step) {
        RunState state = new RunState(
                RunState.FORMAT,
                step,
                total,
                Torch.threads(),
                run.data().train().fingerprint(),
                run.baseFingerprint(),
                best.loss(),
                best.step(),
                best.withoutGain(),
                evaluationDue,
                before == null ? null : before.right(),
                ResolvedYaml.write(run.config(), Outcome.provenance(run)),
                Outcome.versions(),
                Map.of());
        Path target = run.directory().checkpoint(step);
        Checkpoint.write(target, run.adapter(), run.adapterConfig(), run.optimizer(), state);
        run.directory()
                .prune(
                        training.saveTotalLimit(),
                        training.loadBestModelAtEnd() ? run.directory().checkpoint(best.step()) : null);
        run.listener().saved(target);
    }
}
