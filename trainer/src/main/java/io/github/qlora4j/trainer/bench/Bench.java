package io.github.qlora4j.trainer.bench;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.FileTree;
import io.github.qlora4j.quant.internal.Reason;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.trainer.model.BaseModel;
import io.github.qlora4j.trainer.model.ModelConfig;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * Measures a model in quantization schemes, each in a JVM of its own with this one's class path and options.
 *
 * <pre>{@code
 * BenchReport report = Bench.run(plan, Path.of("work"), (scheme, what, secondsLeft) -> {});
 * }</pre>
 */
public final class Bench {

    private Bench() {}

    /** Is told what is being measured. */
    public interface Progress {
        /**
         * Something else is measured from now on.
         *
         * @param scheme its number, from 1
         * @param what it is
         * @param secondsLeft about so many until all is done, by what was needed so far; -1 where that is not known yet
         */
        void measuring(int scheme, String what, double secondsLeft);
    }

    /**
     * Measures what a plan says. A scheme that cannot be measured is in the report with why not.
     *
     * @param work a directory that is there, for what needs a place on the disk; it is empty again afterwards
     * @throws QloraException if the model cannot be read, or is quantized already and other schemes are asked for
     */
    public static BenchReport run(BenchPlan plan, Path work, Progress progress) {
        Path model = Path.of(plan.model());
        ModelConfig config = ModelConfig.read(model);
        try (ModelDirectory files = ModelDirectory.open(model)) {
            BaseModel.check(files, config);
        }
        if (SchemeBench.isQuantized(model, config) && !plan.schemes().equals(List.of(BenchScheme.STORED))) {
            throw new QloraException(
                    model + ": this model is quantized already, and is measured as it is: leave --schemes out");
        }
        if (plan.lengths().get(0) > config.maxPositionEmbeddings()) {
            throw new QloraException(
                    "--lengths: the shortest is " + plan.lengths().get(0) + ", and " + model
                            + " has max_position_embeddings " + config.maxPositionEmbeddings());
        }
        List<SchemeFigures> found = new ArrayList<>();
        long each = plan.only(plan.schemes().get(0)).work();
        long start = System.nanoTime();
        for (BenchScheme scheme : plan.schemes()) {
            long before = found.size() * each;
            int number = found.size() + 1;
            Path own = work.resolve(scheme.key());
            try {
                found.add(new BenchProcess(plan.only(scheme), own).run((what, done) -> {
                    double share =
                            (double) (before + done) / (each * plan.schemes().size());
                    double seconds = (System.nanoTime() - start) / 1e9;
                    progress.measuring(number, what, share < 0.01 ? -1 : seconds / share - seconds);
                }));
            } finally {
                delete(own);
            }
        }
        return new BenchReport(Machine.describe(), config.maxPositionEmbeddings(), SchemeBench.WARM_UP, plan, found);
    }

    /** What is measured where nothing is asked for: a model that is quantized already is measured as it is. */
    public static List<BenchScheme> schemes(Path model) {
        return SchemeBench.isQuantized(model, ModelConfig.read(model))
                ? List.of(BenchScheme.STORED)
                : BenchScheme.standard();
    }

    private static void delete(Path directory) {
        try {
            FileTree.delete(directory);
        } catch (IOException e) {
            throw new QloraException(directory + ": cannot be removed: " + Reason.of(e), e);
        }
    }
}
