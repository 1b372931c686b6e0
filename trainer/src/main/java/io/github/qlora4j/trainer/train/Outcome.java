package io.github.qlora4j.trainer.train;

import io.github.qlora4j.peft.Adapter;
import io.github.qlora4j.peft.AdapterConfigFile;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.AtomicFile;
import io.github.qlora4j.quant.internal.Reason;
import io.github.qlora4j.trainer.config.ResolvedYaml;
import io.github.qlora4j.trainer.model.BaseModel;
import io.github.qlora4j.trainer.report.LossPicture;
import io.github.qlora4j.trainer.report.MetricsFile;
import io.github.qlora4j.trainer.report.ModelCard;
import io.github.qlora4j.trainer.report.RunEnd;
import io.github.qlora4j.trainer.report.RunStart;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;

/** What a run tells before its first step, and what it leaves in the output directory after its last. */
final class Outcome {

    private final Run run;
    private final int total;

    Outcome(Run run, int total) {
        this.run = run;
        this.total = total;
    }

    void begin(int done) {
        Path directory = run.directory().path();
        write(directory.resolve(RunDirectory.RESOLVED), ResolvedYaml.write(run.config(), provenance(run)));
        BaseModel base = run.decoder().base();
        long trainable = run.decoder().trained().count();
        List<String> notes = new ArrayList<>();
        notes.add(run.data().trainReport().summary());
        run.plan()
                .packing()
                .ifPresent(p -> notes.add(p.summary(run.data().train().size())));
        base.options()
                .scheme()
                .ifPresent(scheme -> notes.add("base: " + scheme + ", "
                        + base.bytes() / 1_000_000 + " MB, products in "
                        + base.options().compute().torchName()));
        run.listener()
                .starting(new RunStart(
                        run.data().train().size(),
                        run.config().training().perDeviceTrainBatchSize(),
                        run.config().training().gradientAccumulationSteps(),
                        run.plan().epochAfter(total),
                        total,
                        done,
                        trainable,
                        parameters(base) + trainable,
                        notes));
    }

    /** Adapter, model card and picture in the output directory itself. */
    void end(int steps, boolean finished, BestEvaluation best) {
        Path directory = run.directory().path();
        saveAdapter(directory, steps, best);
        Path metrics = directory.resolve(RunDirectory.METRICS);
        Path picture = directory.resolve("loss.png");
        // a run that is stopped may be on its way out of the JVM, where nothing can be drawn any more
        boolean drawn = finished && LossPicture.draw(metrics, picture);
        Map<String, String> results = new LinkedHashMap<>();
        results.put("steps", Integer.toString(steps));
        MetricsFile.read(metrics).forEach(line -> {
            if (line.has("eval_loss")) {
                results.put("eval loss", line.get("eval_loss").toString());
            } else if (line.has("loss")) {
                results.put("loss of the last step", line.get("loss").toString());
            }
        });
        new ModelCard(
                        run.config().model().path().toString(),
                        ResolvedYaml.write(run.config(), provenance(run)),
                        results,
                        versions())
                .write(directory.resolve("README.md"));
        run.listener()
                .finished(new RunEnd(
                        directory,
                        steps,
                        run.plan().epochAfter(steps),
                        finished,
                        drawn ? picture : null,
                        finished
                                ? "scripts/qlora chat --adapter " + directory
                                : "the same command with --resume (in place of --overwrite)"));
    }

    /** The best adapter under {@code load_best_model_at_end}, else the last one. */
    private void saveAdapter(Path directory, int steps, BestEvaluation best) {
        if (run.config().training().loadBestModelAtEnd() && best.loss() != null) {
            Path checkpoint = run.directory().checkpoint(best.step());
            if (Files.exists(checkpoint.resolve(Adapter.WEIGHTS))) {
                copy(checkpoint.resolve(Adapter.WEIGHTS), directory.resolve(Adapter.WEIGHTS));
                copy(checkpoint.resolve(AdapterConfigFile.NAME), directory.resolve(AdapterConfigFile.NAME));
                return;
            }
            run.listener()
                    .warning("training.load_best_model_at_end: step " + best.step() + " has the lowest eval loss, "
                            + best.loss() + ", but " + checkpoint + " is not there (it was deleted, or not saved while"
                            + " load_best_model_at_end was off): the adapter is that of step " + steps);
        }
        run.adapter().save(directory, run.adapterConfig());
    }

    private static long parameters(BaseModel base) {
        return io.github.qlora4j.trainer.model.Modules.parameters(base.config());
    }

    /** Comment lines for the head of the resolved configuration. */
    static List<String> provenance(Run run) {
        List<String> lines = new ArrayList<>();
        versions().forEach((name, version) -> lines.add(name + " " + version));
        lines.add("training rows " + run.data().train().fingerprint());
        run.data().eval().ifPresent(eval -> lines.add("eval rows " + eval.fingerprint()));
        lines.add("base " + run.baseFingerprint());
        return lines;
    }

    static Map<String, String> versions() {
        Properties built = new Properties();
        try (InputStream in = Outcome.class.getResourceAsStream("/io/github/qlora4j/trainer/cli/versions.properties")) {
            built.load(in);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        Map<String, String> versions = new LinkedHashMap<>();
        for (String name : List.of("qlora4j", "djl", "pytorch")) {
            versions.put(name, built.getProperty(name));
        }
        versions.put("java", System.getProperty("java.version"));
        return versions;
    }

    private static void copy(Path from, Path to) {
        replace(to, out -> Files.copy(from, out));
    }

    private static void write(Path file, String text) {
        replace(file, out -> out.write(text.getBytes(StandardCharsets.UTF_8)));
    }

    private static void replace(Path file, AtomicFile.Content content) {
        try {
            AtomicFile.write(file, content);
        } catch (IOException e) {
            throw new QloraException(file + ": cannot be written: " + Reason.of(e), e);
        }
    }
}
