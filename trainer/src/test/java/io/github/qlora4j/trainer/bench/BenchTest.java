package io.github.qlora4j.trainer.bench;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.qlora4j.trainer.config.Precision;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

class BenchTest {

    private static final Path LLAMA = Path.of("src/test/resources/golden/models/llama");

    @TempDir
    private Path dir;

    private static BenchPlan plan(Path model, List<Integer> lengths, List<Integer> batches) {
        return new BenchPlan(model.toString(), List.of(BenchScheme.NF4), lengths, batches, 1, 2, Precision.FLOAT32, 1);
    }

    /** As the system ends a process that takes too much memory; 500 rounds, so that it is ended in the midst of them. */
    @Test
    @DisabledOnOs(OS.WINDOWS) // there is no SIGKILL there
    void aProcessThatIsKilledLeavesAReasonForWhatItDidNotMeasure() {
        List<String> done = new ArrayList<>();
        BenchPlan plan = new BenchPlan(
                LLAMA.toString(),
                List.of(BenchScheme.FLOAT32),
                List.of(8, 16),
                List.of(1),
                500,
                32,
                Precision.FLOAT32,
                1);
        BenchReport report = Bench.run(plan, dir, (number, what, secondsLeft) -> {
            done.add(what);
            if (what.equals("generation 1 × 8")) {
                ProcessHandle.current()
                        .children()
                        .filter(child -> child.info().commandLine().orElse("").contains("BenchWorker"))
                        .forEach(ProcessHandle::destroyForcibly);
            }
        });
        assertThat(done).contains("loading", "generation 1 × 8").doesNotContain("forward 1 × 8");
        SchemeFigures plain = report.schemes().get(0);
        assertThat(plain.failed()).isNull();
        assertThat(plain.loaded().dtype()).isEqualTo("float32");
        String why = "the JVM ended with exit code 137 at \"generation 1 × 8\": killed, most likely for lack of memory";
        assertThat(plain.generation()).hasSize(2).allMatch(g -> why.equals(g.skipped()));
        assertThat(plain.forward()).hasSize(2).allMatch(p -> why.equals(p.skipped()));
        assertThat(BenchFiles.skipped(report)).hasSize(4);
        assertThat(BenchFiles.tables(report).get(1).rows().get(2)).containsExactly("1", "16", "–");
        assertThat(dir).isEmptyDirectory();
    }

    @Test
    void whatNoMemoryHoldsIsNotTried() throws IOException {
        Path model = Files.createDirectory(dir.resolve("model"));
        for (String name : List.of("config.json", "model.safetensors")) {
            Files.copy(LLAMA.resolve(name), model.resolve(name));
        }
        Path config = model.resolve("config.json");
        Files.writeString(
                config,
                Files.readString(config)
                        .replace("\"max_position_embeddings\": 128", "\"max_position_embeddings\": 16777216"));
        Path work = Files.createDirectory(dir.resolve("work"));
        BenchReport report = Bench.run(plan(model, List.of(64), List.of(1 << 24)), work, (n, what, left) -> {});
        // 2^30 tokens, each with 4 x 64 + 3 x 128 numbers of two bytes
        assertThat(report.schemes().get(0).forward().get(0).skipped())
                .matches("it needs 1.37 TB or more, and .* are free");
        assertThat(report.schemes().get(0).generation().get(0).skipped()).startsWith("it needs ");
    }
}
