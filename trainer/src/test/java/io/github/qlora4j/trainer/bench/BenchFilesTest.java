package io.github.qlora4j.trainer.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.trainer.bench.BenchPlan.Cell;
import io.github.qlora4j.trainer.config.Precision;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Tables and files of a report that is made up, so that each number in them is known. */
class BenchFilesTest {

    private static final Cell SMALL = new Cell(1, 8);
    private static final Cell LARGE = new Cell(2, 8);

    private static final BenchPlan PLAN = new BenchPlan(
            "models/tiny",
            List.of(BenchScheme.STORED, BenchScheme.INT8, BenchScheme.AWQ),
            List.of(8),
            List.of(1, 2),
            3,
            5,
            Precision.AUTO,
            2);

    private final SchemeFigures plain = new SchemeFigures(
            "stored",
            new Loaded("bfloat16", "bfloat16", 1_250_000, 16, null, 0.256, 20_000_000L, 2),
            null,
            List.of(Pass.measured(SMALL, 0.004, 30_000_000L), Pass.measured(LARGE, 0.005, 40_000_000L)),
            List.of(
                    Generation.measured(SMALL, 5, 0.016, 0.064, 50_000_000L),
                    Generation.measured(LARGE, 5, 0.032, 0.08, 60_000_000L)));

    private final SchemeFigures int8 = new SchemeFigures(
            "int8",
            new Loaded("int8", "bfloat16", 700_000, 8.45, 12_340_000.0, 0.5, null, 2),
            null,
            List.of(Pass.measured(SMALL, 0.002, 31_000_000L), Pass.skipped(LARGE, "too\nlong")),
            List.of(Generation.measured(SMALL, 5, 0.008, 0.032, 51_000_000L), Generation.skipped(LARGE, 5, "why")));

    private final SchemeFigures awq = new SchemeFigures("awq", null, "no groups", List.of(), List.of());

    private static BenchReport report(SchemeFigures... schemes) {
        return new BenchReport("a machine", 128, 1, PLAN, List.of(schemes));
    }

    private static List<List<String>> table(BenchReport report, String title) {
        return BenchFiles.tables(report).stream()
                .filter(table -> table.title().equals(title))
                .findFirst()
                .orElseThrow()
                .rows();
    }

    @Test
    void eachTableTellsItsOwnFigure_aDashWhatWasNotMeasured() {
        BenchReport report = report(plain, int8, awq);
        assertThat(table(report, "Schemes"))
                .containsExactly(
                        List.of(
                                "scheme",
                                "products in",
                                "bits/weight",
                                "model",
                                "quantized, M weights/s",
                                "load, s",
                                "memory loaded"),
                        List.of("bfloat16", "bfloat16", "16.000", "1.25 MB", "–", "0.26", "20.0 MB"),
                        List.of("int8", "bfloat16", "8.450", "700 kB", "12.3", "0.50", "–"),
                        List.of("awq", "–", "–", "–", "–", "–", "–"));
        cells(report, "Forward pass, ms", "length", "4.0", "2.0", "5.0");
        cells(report, "Forward pass, tokens/s", "length", "2000", "4000", "3200");
        cells(report, "Forward pass, peak memory", "length", "30.0 MB", "31.0 MB", "40.0 MB");
        cells(report, "First token after the prompt, ms", "prompt", "16.0", "8.0", "32.0");
        cells(report, "Prompt's own pass, tokens/s", "prompt", "500", "1000", "500");
        cells(report, "Tokens after the first, tokens/s", "prompt", "62.5", "125.0", "100.0");
        cells(report, "Generation, peak memory", "prompt", "50.0 MB", "51.0 MB", "60.0 MB");
    }

    /** Of the plain model and int8 in one row, the plain model alone with two; awq was not loaded. */
    private static void cells(
            BenchReport report, String title, String of, String dense, String quantized, String denseOfTwo) {
        assertThat(table(report, title))
                .as(title)
                .containsExactly(
                        List.of("batch", of, "bfloat16", "int8", "awq"),
                        List.of("1", "8", dense, quantized, "–"),
                        List.of("2", "8", denseOfTwo, "–", "–"));
    }

    @Test
    void aSystemThatTellsNoPeaksHasNoTablesOfThem() {
        SchemeFigures untold = new SchemeFigures(
                "stored",
                plain.loaded(),
                null,
                List.of(Pass.measured(SMALL, 0.004, null), Pass.measured(LARGE, 0.005, null)),
                List.of());
        assertThat(BenchFiles.tables(report(untold))).hasSize(6);
        assertThat(BenchFiles.notes(report(untold))).anyMatch(note -> note.startsWith("Peak memory is not measured"));
        assertThat(BenchFiles.tables(report(plain))).hasSize(8);
        assertThat(BenchFiles.notes(report(plain)))
                .anyMatch(note -> note.startsWith("Peak memory is the resident memory of the whole process"));
    }

    @Test
    void notesSayHowItWasMeasured() {
        assertThat(BenchFiles.notes(report(awq, int8)))
                .startsWith(
                        "a machine, 2 threads of products",
                        "Medians of 3 rounds after 1 that does not count. Each scheme ran in a JVM of its own.")
                .anyMatch(note -> note.contains("Generation is greedy, 5 tokens of each row"))
                .anyMatch(
                        note -> note.startsWith("gptq and awq were quantized once, with 16 rows of 128 random tokens"));
        assertThat(BenchFiles.notes(report(awq)).get(0)).isEqualTo("a machine, nothing measured");
        BenchPlan one = PLAN.only(BenchScheme.INT8);
        assertThat(BenchFiles.notes(new BenchReport("a machine", 128, 1, one, List.of(int8))))
                .noneMatch(note -> note.contains("gptq"));
        assertThat(BenchFiles.notes(new BenchReport("", 128, 1, PLAN.only(BenchScheme.GPTQ), List.of())))
                .anyMatch(note -> note.startsWith("gptq and awq"));
    }

    @Test
    void schemesWithTheSameReasonShareALine() {
        SchemeFigures other =
                new SchemeFigures("nf4", int8.loaded(), null, List.of(Pass.skipped(LARGE, "too\nlong")), List.of());
        assertThat(BenchFiles.skipped(report(plain, int8, other, awq)))
                .containsExactly(
                        "int8, generation 2 × 8: why",
                        "int8, int8, forward 2 × 8: too long",
                        "awq, all of it: no groups");
        assertThat(BenchFiles.skipped(report(plain))).isEmpty();
    }

    @Test
    void theDirectoryHoldsTablesPicturesAndJson(@TempDir Path dir) throws IOException {
        BenchReport report = report(plain, int8, awq);
        BenchFiles.write(dir, report);
        assertThat(dir.toFile().list()).containsExactlyInAnyOrder("bench.md", "bench.json", "speed.png", "memory.png");
        assertThat(dir.resolve("bench.md"))
                .content()
                .startsWith("# tiny in quantization schemes\n\na machine, 2 threads of products\n\n")
                .contains("""
                        ## Forward pass, ms

                        | batch | length | bfloat16 | int8 | awq |
                        | --- | --- | ---: | ---: | ---: |
                        | 1 | 8 | 4.0 | 2.0 | – |
                        | 2 | 8 | 5.0 | – | – |

                        ## Forward pass, tokens/s
                        """)
                .endsWith("""
                        ## Not measured

                        - int8, generation 2 × 8: why
                        - int8, forward 2 × 8: too long
                        - awq, all of it: no groups

                        ![speed](speed.png)

                        ![memory](memory.png)
                        """);
        assertThat(dir.resolve("bench.json"))
                .content()
                .startsWith("{\n  \"model\": \"models/tiny\",\n  \"machine\": \"a machine\",\n"
                        + "  \"max_position_embeddings\": 128,\n")
                .contains("\"warm_up\": 1,\n  \"rounds\": 3,\n", "\"skipped\": null", "\"failed\": \"no groups\"");
    }

    @Test
    void whatWasAllMeasuredHasNoListOfTheRest(@TempDir Path dir) throws IOException {
        BenchFiles.write(dir, report(plain));
        assertThat(Files.readString(dir.resolve("bench.md"))).doesNotContain("Not measured");
        assertThatThrownBy(() -> BenchFiles.write(dir.resolve("gone"), report(plain)))
                .isInstanceOf(QloraException.class)
                .hasMessageStartingWith(dir.resolve("gone").toString())
                .hasMessageEndingWith(": cannot be written: no such file or directory");
    }

    /** The first of them is the warm-up. */
    @Test
    void theMedianIsOfTheRoundsThatCount() {
        assertThat(QuantizingBench.median(new double[] {9, 3}, 1)).isEqualTo(3);
        assertThat(QuantizingBench.median(new double[] {9, 4, 1, 2}, 1)).isEqualTo(2);
        assertThat(QuantizingBench.median(new double[] {0, 4, 1, 2, 9}, 1)).isEqualTo(3);
    }

    @Test
    void messagesComeBackAsTheyWereSent() {
        for (Message message : List.of(
                Message.doing("loading", 7),
                Message.of(int8.loaded()),
                Message.of(int8.forward().get(0)),
                Message.of(int8.generation().get(1)),
                Message.failed("too large"))) {
            assertThat(message.line()).doesNotContain("\n");
            assertThat(Message.read(message.line())).isEqualTo(message);
        }
    }
}
