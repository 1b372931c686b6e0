package io.github.qlora4j.examples;

import ai.djl.inference.Predictor;
import ai.djl.translate.TranslateException;
import io.github.qlora4j.trainer.config.RunConfig;
import io.github.qlora4j.trainer.generate.LanguageModel;
import io.github.qlora4j.trainer.report.StepMetrics;
import io.github.qlora4j.trainer.train.RunListener;
import io.github.qlora4j.trainer.train.Trainer;
import io.github.qlora4j.trainer.train.TrainingResult;
import java.nio.file.Path;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * The trainer inside a program: train, follow the steps, cancel, resume, generate, serve through a DJL predictor.
 *
 * <p>{@code java … EmbeddedTraining [OUTPUT_DIR [STEPS]]}, from the root of the checkout, whose quick start it trains.
 */
public final class EmbeddedTraining {

    private EmbeddedTraining() {}

    /**
     * What the program saw.
     *
     * @param cancelled how the first part of the run ended
     * @param resumed how the second part ended
     * @param answer what the trained model generates
     * @param served what a predictor of it gives for the same question
     */
    public record Result(TrainingResult cancelled, TrainingResult resumed, String answer, String served) {}

    /** Trains the quick start's model, and prints what comes. */
    public static void main(String[] arguments) throws Exception {
        Path output = Path.of(arguments.length > 0 ? arguments[0] : "runs/embedded");
        int steps = arguments.length > 1 ? Integer.parseInt(arguments[1]) : 150;
        String question = "What is the plural of river?";
        Result result = run(
                configuration(Path.of("examples/quickstart"), output, steps),
                steps / 2,
                question,
                m -> System.out.printf("step %d  loss %.3f  %.0f tokens/s%n", m.step(), m.loss(), m.tokensPerSecond()));
        System.out.printf(
                "cancelled after step %d, resumed to step %d%n",
                result.cancelled().steps(), result.resumed().steps());
        System.out.printf("%s%n  generated: %s%n  served:    %s%n", question, result.answer(), result.served());
    }

    /** The configuration: each key of the YAML file has its place here, and the same defaults. */
    public static RunConfig configuration(Path quickstart, Path output, int steps) {
        return RunConfig.builder()
                .setModel(quickstart.resolve("model"))
                .setTrain(quickstart.resolve("instructions.json").toString())
                .setOutputDir(output)
                .optLoadIn4bit(true)
                .optR(16)
                .optLoraAlpha(32)
                .opt("lora.target_modules", "all-linear")
                .optMaxLength(128)
                .optBatchSize(16)
                .optGradientAccumulationSteps(1)
                .optMaxSteps(steps)
                .optLearningRate(2e-3)
                .build();
    }

    /**
     * Trains, cancels from this thread once step {@code cancelAfter} is seen, resumes, and asks a question twice.
     *
     * @param progress gets every step, on the calling thread
     */
    public static Result run(RunConfig config, int cancelAfter, String question, Consumer<StepMetrics> progress)
            throws InterruptedException, ExecutionException, TranslateException {
        TrainingResult cancelled = trainAndCancel(config, cancelAfter, progress);

        // Cancelling has saved a checkpoint. The result is the same, to the bit, as if there had been no break.
        TrainingResult resumed = Trainer.builder()
                .setConfig(config)
                .optStart(Trainer.Start.RESUME)
                .optListener(following(progress))
                .build()
                .train();

        // The run's directory says which base it belongs to, in how many bits, and how a question is put.
        try (LanguageModel model =
                LanguageModel.builder().setAdapter(resumed.outputDir()).build()) {
            String answer = model.generate(question);
            // Anything that takes a DJL Predictor can serve the model.
            try (Predictor<String, String> predictor = model.newPredictor()) {
                return new Result(cancelled, resumed, answer, predictor.predict(question));
            }
        }
    }

    /** Trains on a thread of its own. Each step is handed over to this thread, which may end the run. */
    private static TrainingResult trainAndCancel(RunConfig config, int cancelAfter, Consumer<StepMetrics> progress)
            throws InterruptedException, ExecutionException {
        BlockingQueue<StepMetrics> steps = new SynchronousQueue<>();
        Trainer trainer = Trainer.builder()
                .setConfig(config)
                .optListener(following(metrics -> {
                    try {
                        steps.put(metrics);
                    } catch (InterruptedException e) {
                        Thread.currentThread().interrupt();
                    }
                }))
                .build();
        ExecutorService executor = Executors.newSingleThreadExecutor();
        try {
            Future<TrainingResult> run = executor.submit(trainer::train);
            while (!run.isDone()) {
                StepMetrics metrics = steps.poll(50, TimeUnit.MILLISECONDS);
                if (metrics != null) {
                    progress.accept(metrics);
                    if (metrics.step() == cancelAfter) {
                        trainer.cancel();
                    }
                }
            }
            return run.get();
        } finally {
            executor.shutdownNow();
        }
    }

    private static RunListener following(Consumer<StepMetrics> progress) {
        return new RunListener() {
            @Override
            public void step(StepMetrics metrics) {
                progress.accept(metrics);
            }
        };
    }
}
