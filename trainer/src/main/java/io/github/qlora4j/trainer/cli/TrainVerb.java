package io.github.qlora4j.trainer.cli;

import io.github.qlora4j.trainer.config.ConfigFile;
import io.github.qlora4j.trainer.config.LoadedConfig;
import io.github.qlora4j.trainer.config.RunConfig;
import io.github.qlora4j.trainer.generate.HeldOutAnswers;
import io.github.qlora4j.trainer.model.ComputeDtype;
import io.github.qlora4j.trainer.plan.MemoryAdvice;
import io.github.qlora4j.trainer.plan.RunPlan;
import io.github.qlora4j.trainer.report.Figures;
import io.github.qlora4j.trainer.report.Rss;
import io.github.qlora4j.trainer.report.TrainingReporter;
import io.github.qlora4j.trainer.train.Trainer;
import io.github.qlora4j.trainer.train.TrainingResult;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code train}: a run from its YAML file. */
@Command(
        name = "train",
        description = "Trains an adapter as a YAML file says. Ctrl-C saves a checkpoint and leaves;"
                + " --resume goes on from the newest one, to the very bits of an unbroken run.",
        footer = {
            "Examples:",
            "  qlora train configs/quickstart.yaml",
            "  qlora train configs/quickstart.yaml --set training.max_steps=20 --overwrite"
        })
final class TrainVerb extends Verb {

    private static final long SECONDS_TO_SAVE = 600;

    @Parameters(paramLabel = "CONFIG", description = "The run's YAML file.")
    private Path config;

    @Option(names = "--set", paramLabel = "KEY=VALUE", description = "Set a key over the file; may be repeated.")
    private List<String> sets = new ArrayList<>();

    @ArgGroup
    private UsedDirectory used;

    /** What to do with a used output_dir: one of the two at most. */
    static final class UsedDirectory {
        @Option(names = "--resume", description = "Go on from the newest whole checkpoint in training.output_dir.")
        private boolean resume;

        @Option(names = "--overwrite", description = "Delete the run in training.output_dir and start anew.")
        private boolean overwrite;
    }

    @Override
    public Integer call() {
        LoadedConfig loaded = ConfigFile.load(config, sets);
        try (TrainingReporter reporter = new TrainingReporter(terminal())) {
            RunScreen screen = new RunScreen(terminal(), reporter, memoryNotes(loaded.config()));
            warnWhereItMayNotFit(loaded.config());
            Trainer trainer = Trainer.builder()
                    .setConfig(loaded)
                    .optStart(start())
                    .optListener(screen)
                    .build();
            TrainingResult result = trainToTheEndOrSignal(trainer, screen, loaded.config());
            HeldOutAnswers after = screen.answersAfter();
            if (after != null) {
                out().println(String.format(
                        Locale.ROOT,
                        "held-out answers right: %.1f %% before, %.1f %% after (%d instructions)",
                        screen.answersBefore().percent(),
                        after.percent(),
                        after.asked()));
            }
            return result.finished() ? Main.OK : Main.FAILED;
        }
    }

    private Trainer.Start start() {
        if (used == null) {
            return Trainer.Start.NEW;
        }
        return used.resume ? Trainer.Start.RESUME : Trainer.Start.OVERWRITE;
    }

    /** The JVM ends when its shutdown hooks have ended: this one waits until the run is saved, if it has begun. */
    private TrainingResult trainToTheEndOrSignal(Trainer trainer, RunScreen screen, RunConfig run) {
        CountDownLatch done = new CountDownLatch(1);
        Thread hook = new Thread(() -> {
            trainer.cancel();
            if (!screen.hasStarted()) {
                say("stopped before the first step: nothing was trained");
                return;
            }
            say("stopping: saving a checkpoint after this step...");
            try {
                done.await(SECONDS_TO_SAVE, TimeUnit.SECONDS);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
        Runtime.getRuntime().addShutdownHook(hook);
        try {
            return trainer.train();
        } catch (RuntimeException | OutOfMemoryError e) {
            MemoryFailure.throwWhereMemoryLacks(e, run);
            throw e;
        } finally {
            done.countDown();
            try {
                Runtime.getRuntime().removeShutdownHook(hook);
            } catch (IllegalStateException e) {
                // the JVM is on its way out: the hook has done its work
            }
        }
    }

    /** Said before anything is loaded: a process that the system ends for its memory cannot say it any more. */
    private void warnWhereItMayNotFit(RunConfig run) {
        long free = Rss.freeBytes();
        MemoryAdvice advice = MemoryFailure.advice(run);
        if (free > 0 && advice.plan().peakBytes() > free) {
            say("warning: the run may not fit into the " + Figures.bytes(free) + " that are free");
            advice.lines().forEach(this::say);
        }
    }

    private static List<String> memoryNotes(RunConfig run) {
        boolean fourBits = run.quantized().filter(q -> q.loadIn4bit()).isPresent();
        ComputeDtype compute = ComputeDtype.of(
                fourBits
                        ? run.quantization().bnb4bitComputeDtype()
                        : run.model().dtype());
        List<String> notes = new ArrayList<>();
        if (fourBits) {
            notes.add("compute dtype: " + compute.dtype().torchName() + " (" + compute.reason() + ")");
        }
        notes.addAll(RunPlan.of(run, compute.dtype()).lines());
        return notes;
    }
}
