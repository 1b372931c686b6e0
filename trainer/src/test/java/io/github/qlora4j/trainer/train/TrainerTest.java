package io.github.qlora4j.trainer.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.gson.JsonObject;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.trainer.config.ConfigFile;
import io.github.qlora4j.trainer.config.LoadedConfig;
import io.github.qlora4j.trainer.report.EvalMetrics;
import io.github.qlora4j.trainer.report.MetricsFile;
import io.github.qlora4j.trainer.report.StepMetrics;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Whole runs on a tiny model: files, resume, cancellation, refusals. */
class TrainerTest {

    private static final int STEPS = 6;

    @TempDir
    Path temp;

    private Path rows;

    @BeforeEach
    void writeRows() throws IOException {
        rows = temp.resolve("rows.json");
        List<String> json = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            json.add("{\"instruction\": \"Count " + i + "\", \"input\": \"\", \"output\": \"" + "ab ".repeat(1 + i % 5)
                    + "\"}");
        }
        Files.writeString(rows, "[" + String.join(",\n", json) + "]");
    }

    private LoadedConfig config(Path output, String... more) {
        List<String> sets = new ArrayList<>(List.of(
                "model.path=src/test/resources/golden/models/llama",
                "data.train=" + rows,
                "data.cache_dir=" + temp.resolve("cache"),
                "data.max_length=48",
                "training.output_dir=" + output,
                "training.max_steps=" + STEPS,
                "training.gradient_accumulation_steps=2",
                "training.learning_rate=1e-2",
                "training.save_steps=2",
                "training.save_total_limit=10",
                "training.threads=1",
                "lora.lora_dropout=0.1"));
        sets.addAll(List.of(more));
        return ConfigFile.parse("{}", "test.yaml", sets);
    }

    private static TrainingResult train(LoadedConfig config, Trainer.Start start, RunListener listener) {
        return Trainer.builder()
                .setConfig(config)
                .optStart(start)
                .optListener(listener)
                .build()
                .train();
    }

    private static final RunListener NOBODY = new RunListener() {};

    @Test
    void leavesAdapterMetricsConfigurationCardAndCheckpoints() {
        Path out = temp.resolve("run");
        TrainingResult result = train(config(out), Trainer.Start.NEW, NOBODY);
        assertThat(result.finished()).isTrue();
        assertThat(result.steps()).isEqualTo(STEPS);
        assertThat(out)
                .isDirectoryContaining(p -> p.endsWith("adapter_model.safetensors"))
                .isDirectoryContaining(p -> p.endsWith("adapter_config.json"))
                .isDirectoryContaining(p -> p.endsWith("qlora.yaml"))
                .isDirectoryContaining(p -> p.endsWith("README.md"))
                .isDirectoryContaining(p -> p.endsWith("loss.png"))
                .isDirectoryContaining(p -> p.endsWith("checkpoint-6"));
        List<JsonObject> lines = MetricsFile.read(out.resolve("metrics.jsonl"));
        assertThat(lines).hasSize(STEPS);
        assertThat(lines.get(0).keySet())
                .contains(
                        "step",
                        "epoch",
                        "loss",
                        "grad_norm",
                        "learning_rate",
                        "tokens",
                        "learned_tokens",
                        "tokens_per_second",
                        "seconds",
                        "peak_rss_bytes");
        assertThat(lines.get(STEPS - 1).get("loss").getAsDouble())
                .isLessThan(lines.get(0).get("loss").getAsDouble());
    }

    @ParameterizedTest
    @ValueSource(strings = {"adamw_torch", "paged_adamw_32bit", "adamw_8bit", "paged_adamw_8bit"})
    void resumesBitForBit(String optim) throws IOException {
        String[] options = {"training.optim=" + optim, "lora.target_modules=all-linear", "lora.r=16"};
        Path whole = temp.resolve("whole");
        train(config(whole, options), Trainer.Start.NEW, NOBODY);

        Path parts = temp.resolve("parts");
        Trainer[] trainer = new Trainer[1];
        trainer[0] = Trainer.builder()
                .setConfig(config(parts, options))
                .optListener(new RunListener() {
                    @Override
                    public void step(StepMetrics metrics) {
                        if (metrics.step() == 3) {
                            trainer[0].cancel();
                        }
                    }
                })
                .build();
        TrainingResult first = trainer[0].train();
        assertThat(first.finished()).isFalse();
        assertThat(first.steps()).isEqualTo(3);
        TrainingResult second = train(config(parts, options), Trainer.Start.RESUME, NOBODY);
        assertThat(second.finished()).isTrue();

        assertThat(parts.resolve("adapter_model.safetensors"))
                .hasSameBinaryContentAs(whole.resolve("adapter_model.safetensors"));
        assertThat(losses(parts)).isEqualTo(losses(whole)).hasSize(STEPS);
        assertThat(parts.resolve("checkpoint-6").resolve("optimizer.safetensors"))
                .hasSameBinaryContentAs(whole.resolve("checkpoint-6").resolve("optimizer.safetensors"));
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3, 6})
    void evaluationThatIsBrokenOff_isMadeOnResume(int cancelledAt) throws IOException {
        String[] options = {"data.eval=" + rows, "training.eval_steps=1", "training.load_best_model_at_end=true"};
        Path whole = temp.resolve("whole");
        train(config(whole, options), Trainer.Start.NEW, NOBODY);

        Path parts = temp.resolve("parts");
        Trainer[] trainer = new Trainer[1];
        List<Long> evaluated = new ArrayList<>();
        RunListener listener = new RunListener() {
            @Override
            public void step(StepMetrics metrics) {
                if (metrics.step() == cancelledAt && evaluated.size() < cancelledAt) {
                    trainer[0].cancel();
                }
            }

            @Override
            public void evaluated(EvalMetrics metrics) {
                evaluated.add(metrics.step());
            }
        };
        trainer[0] = Trainer.builder()
                .setConfig(config(parts, options))
                .optListener(listener)
                .build();
        assertThat(trainer[0].train().finished()).isFalse();
        assertThat(evaluated).hasSize(cancelledAt - 1);
        assertThat(parts.resolve("checkpoint-" + cancelledAt)).isDirectory();

        assertThat(train(config(parts, options), Trainer.Start.RESUME, listener).finished())
                .isTrue();
        assertThat(evaluated).containsExactly(1L, 2L, 3L, 4L, 5L, 6L);
        assertThat(parts.resolve("adapter_model.safetensors"))
                .hasSameBinaryContentAs(whole.resolve("adapter_model.safetensors"));
        assertThat(evalLosses(parts)).isEqualTo(evalLosses(whole)).hasSize(STEPS);
    }

    @Test
    void answersBeforeTheFirstStep_thatAreBrokenOff_leaveNothing() throws IOException {
        Path out = temp.resolve("run");
        String[] options = {
            "data.eval=" + rows, "training.predict_with_generate=true", "training.generation_max_new_tokens=4"
        };
        Trainer trainer = Trainer.builder().setConfig(config(out, options)).build();
        trainer.cancel();
        TrainingResult result = trainer.train();
        assertThat(result.finished()).isFalse();
        assertThat(result.steps()).isZero();
        assertThat(out.resolve("adapter_model.safetensors")).doesNotExist();
        assertThat(train(config(out, options), Trainer.Start.RESUME, NOBODY).finished())
                .isTrue();
    }

    @Test
    void keepingGraphsChangesNoBit() throws IOException {
        Path recomputed = temp.resolve("recomputed");
        Path kept = temp.resolve("kept");
        Path some = temp.resolve("some");
        train(config(recomputed), Trainer.Start.NEW, NOBODY);
        train(config(kept, "training.gradient_checkpointing=false"), Trainer.Start.NEW, NOBODY);
        train(config(some, "training.gradient_checkpointing=auto"), Trainer.Start.NEW, NOBODY);
        for (Path other : List.of(kept, some)) {
            assertThat(other.resolve("adapter_model.safetensors"))
                    .hasSameBinaryContentAs(recomputed.resolve("adapter_model.safetensors"));
        }
    }

    @Test
    void twoRunsAtOnceGiveWhatEachGivesAlone() throws Exception {
        Path alone = temp.resolve("alone");
        train(config(alone), Trainer.Start.NEW, NOBODY);
        List<Thread> threads = new ArrayList<>();
        for (String name : List.of("one", "other")) {
            threads.add(new Thread(() -> train(config(temp.resolve(name)), Trainer.Start.NEW, NOBODY)));
        }
        threads.forEach(Thread::start);
        for (Thread thread : threads) {
            thread.join();
        }
        for (String name : List.of("one", "other")) {
            assertThat(temp.resolve(name).resolve("adapter_model.safetensors"))
                    .hasSameBinaryContentAs(alone.resolve("adapter_model.safetensors"));
        }
    }

    @Test
    void passesOverADamagedCheckpointAndSaysSo() throws IOException {
        Path whole = temp.resolve("whole");
        train(config(whole), Trainer.Start.NEW, NOBODY);
        Path out = temp.resolve("run");
        train(config(out), Trainer.Start.NEW, NOBODY);
        Path damaged = out.resolve("checkpoint-6").resolve("optimizer.safetensors");
        byte[] bytes = Files.readAllBytes(damaged);
        bytes[bytes.length / 2] ^= 1;
        Files.write(damaged, bytes);
        List<String> warnings = new ArrayList<>();
        train(config(out), Trainer.Start.RESUME, new RunListener() {
            @Override
            public void warning(String message) {
                warnings.add(message);
            }
        });
        assertThat(warnings).anyMatch(w -> w.contains("checkpoint-6") && w.contains("optimizer.safetensors"));
        assertThat(losses(out)).isEqualTo(losses(whole));
        assertThat(out.resolve("adapter_model.safetensors"))
                .hasSameBinaryContentAs(whole.resolve("adapter_model.safetensors"));
    }

    @Test
    void aStateThatNamesFilesOutsideItsCheckpointIsNotResumedFrom() throws IOException {
        Path out = temp.resolve("run");
        train(config(out), Trainer.Start.NEW, NOBODY);
        Path state = out.resolve("checkpoint-6").resolve("trainer_state.json");
        for (String name : List.of("../../secret", "/etc/hostname", "/", "..", "")) {
            String text = Files.readString(state);
            Files.writeString(state, text.replaceFirst("\"files\": \\{", "\"files\": {\"" + name + "\": \"00\","));
            List<String> warnings = new ArrayList<>();
            train(config(out), Trainer.Start.RESUME, new RunListener() {
                @Override
                public void warning(String message) {
                    warnings.add(message);
                }
            });
            assertThat(warnings).as(name).anyMatch(w -> w.contains("lists a file outside the checkpoint"));
        }
    }

    @ParameterizedTest
    @CsvSource({"steps, 4, 1 4 6", "steps, 1, 1 2 3 4 5 6", "no, 1, ''", "epoch, 1, 1 5 6"})
    void showsTheStepsThatLoggingAsksFor_andWritesThemAll(String strategy, int every, String shown) {
        Path out = temp.resolve("run");
        List<String> logged = new ArrayList<>();
        train(
                config(out, "training.logging_strategy=" + strategy, "training.logging_steps=" + every),
                Trainer.Start.NEW,
                new RunListener() {
                    @Override
                    public void logged(StepMetrics metrics) {
                        logged.add(Long.toString(metrics.step()));
                    }
                });
        assertThat(String.join(" ", logged)).isEqualTo(shown);
        assertThat(MetricsFile.read(out.resolve("metrics.jsonl"))).hasSize(STEPS);
    }

    @Test
    void refusesAUsedDirectoryAndNamesBothWaysOut() {
        Path out = temp.resolve("run");
        train(config(out), Trainer.Start.NEW, NOBODY);
        assertThatThrownBy(() -> train(config(out), Trainer.Start.NEW, NOBODY))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("--resume")
                .hasMessageContaining("--overwrite");
        assertThat(train(config(out), Trainer.Start.OVERWRITE, NOBODY).finished())
                .isTrue();
    }

    @Test
    void refusesToResumeUnderAConfigurationThatWouldChangeTheResult() {
        Path out = temp.resolve("run");
        train(config(out), Trainer.Start.NEW, NOBODY);
        assertThatThrownBy(() ->
                        train(config(out, "training.learning_rate=5e-3", "lora.r=4"), Trainer.Start.RESUME, NOBODY))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("training.learning_rate")
                .hasMessageContaining("lora.r");
        assertThat(train(config(out, "training.save_steps=3"), Trainer.Start.RESUME, NOBODY)
                        .finished())
                .isTrue();
    }

    @Test
    void aModelThatChangesWhileItIsReadIsAnError() throws IOException {
        Path model = Files.createDirectory(temp.resolve("model"));
        try (Stream<Path> files = Files.list(Path.of("src/test/resources/golden/models/llama"))) {
            for (Path file : files.toList()) {
                Files.copy(file, model.resolve(file.getFileName()));
            }
        }
        assertThatThrownBy(() ->
                        train(config(temp.resolve("run"), "model.path=" + model), Trainer.Start.NEW, new RunListener() {
                            @Override
                            public void preparing(String what) {
                                if (what.startsWith("loading")) {
                                    touch(model.resolve("model.safetensors"));
                                }
                            }
                        }))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("was changed while the run was reading it")
                .hasMessageContaining("model.safetensors");
        assertThat(temp.resolve("run").toFile().list()).containsExactly(".lock");
    }

    private static void touch(Path file) {
        try {
            Files.setLastModifiedTime(file, java.nio.file.attribute.FileTime.fromMillis(1_000_000));
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    @Test
    void startsAnewWhereThereIsNoCheckpointToResume() {
        List<String> warnings = new ArrayList<>();
        TrainingResult result = train(config(temp.resolve("run")), Trainer.Start.RESUME, new RunListener() {
            @Override
            public void warning(String message) {
                warnings.add(message);
            }
        });
        assertThat(result.finished()).isTrue();
        assertThat(warnings).anyMatch(w -> w.contains("starting anew"));
    }

    @Test
    void prunesCheckpointsAndKeepsTheBest() throws IOException {
        Path out = temp.resolve("run");
        train(
                config(
                        out,
                        "training.save_total_limit=2",
                        "training.save_steps=1",
                        "data.eval_fraction=0.2",
                        "training.eval_steps=1",
                        "training.load_best_model_at_end=true"),
                Trainer.Start.NEW,
                NOBODY);
        try (Stream<Path> entries = Files.list(out)) {
            assertThat(entries.filter(p -> p.getFileName().toString().startsWith("checkpoint-")))
                    .hasSize(2);
        }
        assertThat(MetricsFile.read(out.resolve("metrics.jsonl")).stream().filter(l -> l.has("eval_loss")))
                .hasSize(STEPS);
    }

    private static final String[] BEST = {
        "training.learning_rate=1",
        "training.lr_scheduler_type=constant",
        "training.save_steps=6",
        "data.eval_fraction=0.2",
        "training.eval_steps=1",
        "training.load_best_model_at_end=true"
    };

    /** The step with the lowest eval loss of a run. */
    private static int bestStep(Path out) {
        return MetricsFile.read(out.resolve("metrics.jsonl")).stream()
                .filter(l -> l.has("eval_loss"))
                .min(Comparator.comparingDouble(l -> l.get("eval_loss").getAsDouble()))
                .orElseThrow()
                .get("step")
                .getAsInt();
    }

    // such a learning rate makes it worse after the first steps, and none is saved by save_steps before the last
    @Test
    void theBestStepIsSaved_whereNoSaveIsDue() {
        Path out = temp.resolve("run");
        train(config(out, BEST), Trainer.Start.NEW, NOBODY);
        int best = bestStep(out);
        assertThat(best).isLessThan(STEPS);
        assertThat(out.resolve("adapter_model.safetensors"))
                .hasSameBinaryContentAs(out.resolve("checkpoint-" + best + "/adapter_model.safetensors"));
    }

    @Test
    void aBestStepThatIsGone_isSaid() throws IOException {
        Path out = temp.resolve("run");
        Trainer[] trainer = new Trainer[1];
        trainer[0] = Trainer.builder()
                .setConfig(config(out, BEST))
                .optListener(new RunListener() {
                    @Override
                    public void step(StepMetrics metrics) {
                        if (metrics.step() == STEPS - 1) {
                            trainer[0].cancel();
                        }
                    }
                })
                .build();
        trainer[0].train();
        int best = bestStep(out);
        assertThat(best).isLessThan(STEPS - 1);
        RunDirectory.delete(out.resolve("checkpoint-" + best));
        List<String> warnings = new ArrayList<>();
        train(config(out, BEST), Trainer.Start.RESUME, new RunListener() {
            @Override
            public void warning(String message) {
                warnings.add(message);
            }
        });
        assertThat(warnings)
                .anyMatch(
                        w -> w.startsWith("training.load_best_model_at_end: step " + best + " has the lowest eval loss")
                                && w.endsWith("the adapter is that of step " + STEPS));
        assertThat(out.resolve("adapter_model.safetensors"))
                .hasSameBinaryContentAs(out.resolve("checkpoint-" + STEPS + "/adapter_model.safetensors"));
    }

    private static List<Double> losses(Path out) {
        return values(out, "loss");
    }

    private static List<Double> evalLosses(Path out) {
        return values(out, "eval_loss");
    }

    private static List<Double> values(Path out, String key) {
        return MetricsFile.read(out.resolve("metrics.jsonl")).stream()
                .filter(l -> l.has(key))
                .map(l -> l.get(key).getAsDouble())
                .toList();
    }
}
