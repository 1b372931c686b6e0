package io.github.qlora4j.trainer.bench;

import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.Reason;
import io.github.qlora4j.trainer.bench.BenchPlan.Cell;
import io.github.qlora4j.trainer.report.Figures;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;

/** Tables of what was measured, and the directory that a measurement leaves behind. */
public final class BenchFiles {

    private static final String NONE = "–";

    private BenchFiles() {}

    /**
     * A table.
     *
     * @param title over it
     * @param rows its cells; the first row is the head
     */
    public record Table(String title, List<List<String>> rows) {}

    /** All tables: the schemes, forward passes, generation. */
    public static List<Table> tables(BenchReport report) {
        List<Table> tables = new ArrayList<>();
        tables.add(schemes(report));
        tables.add(forward(report, "Forward pass, ms", p -> Figures.decimal(1000 * p.seconds(), 1)));
        tables.add(forward(report, "Forward pass, tokens/s", p -> Figures.decimal(p.tokensPerSecond(), 0)));
        tables.add(generation(
                report, "First token after the prompt, ms", g -> Figures.decimal(1000 * g.firstTokenSeconds(), 1)));
        tables.add(generation(
                report,
                "Prompt's own pass, tokens/s",
                g -> Figures.decimal((double) g.batch() * g.length() / g.firstTokenSeconds(), 0)));
        tables.add(
                generation(report, "Tokens after the first, tokens/s", g -> Figures.decimal(g.tokensPerSecond(), 1)));
        if (tellsPeaks(report)) {
            tables.add(forward(report, "Forward pass, peak memory", p -> Figures.bytes(p.peakBytes())));
            tables.add(generation(report, "Generation, peak memory", g -> Figures.bytes(g.peakBytes())));
        }
        return tables;
    }

    private static boolean tellsPeaks(BenchReport report) {
        return report.schemes().stream()
                .noneMatch(s -> s.forward().stream().anyMatch(p -> p.skipped() == null && p.peakBytes() == null));
    }

    private static Table schemes(BenchReport report) {
        List<List<String>> rows = new ArrayList<>();
        rows.add(List.of(
                "scheme", "products in", "bits/weight", "model", "quantized, M weights/s", "load, s", "memory loaded"));
        for (SchemeFigures scheme : report.schemes()) {
            Loaded loaded = scheme.loaded();
            rows.add(
                    loaded == null
                            ? List.of(scheme.name(), NONE, NONE, NONE, NONE, NONE, NONE)
                            : List.of(
                                    loaded.scheme(),
                                    loaded.dtype(),
                                    Figures.decimal(loaded.bitsPerWeight(), 3),
                                    Figures.bytes(loaded.bytes()),
                                    loaded.weightsPerSecond() == null
                                            ? NONE
                                            : Figures.decimal(loaded.weightsPerSecond() / 1e6, 1),
                                    Figures.decimal(loaded.loadSeconds(), 2),
                                    loaded.restBytes() == null ? NONE : Figures.bytes(loaded.restBytes())));
        }
        return new Table("Schemes", rows);
    }

    private static Table forward(BenchReport report, String title, Function<Pass, String> figure) {
        List<List<String>> rows = new ArrayList<>();
        rows.add(head(report, "batch", "length"));
        for (Cell cell : report.plan().cells()) {
            List<String> row =
                    new ArrayList<>(List.of(Integer.toString(cell.batch()), Integer.toString(cell.length())));
            report.schemes().forEach(scheme -> row.add(cell(scheme.pass(cell), p -> p.skipped() == null, figure)));
            rows.add(row);
        }
        return new Table(title, rows);
    }

    private static Table generation(BenchReport report, String title, Function<Generation, String> figure) {
        List<List<String>> rows = new ArrayList<>();
        rows.add(head(report, "batch", "prompt"));
        for (Cell cell : report.plan().cells()) {
            List<String> row =
                    new ArrayList<>(List.of(Integer.toString(cell.batch()), Integer.toString(cell.length())));
            report.schemes()
                    .forEach(scheme -> row.add(cell(scheme.generation(cell), g -> g.skipped() == null, figure)));
            rows.add(row);
        }
        return new Table(title, rows);
    }

    private static List<String> head(BenchReport report, String first, String second) {
        List<String> head = new ArrayList<>(List.of(first, second));
        report.schemes().forEach(scheme -> head.add(scheme.label()));
        return head;
    }

    private static <T> String cell(Optional<T> measured, Function<T, Boolean> isMeasured, Function<T, String> figure) {
        return measured.filter(isMeasured::apply).map(figure).orElse(NONE);
    }

    /** How it was measured, a sentence each. */
    public static List<String> notes(BenchReport report) {
        BenchPlan plan = report.plan();
        List<String> notes = new ArrayList<>();
        notes.add(report.machine() + ", "
                + report.schemes().stream()
                        .filter(s -> s.loaded() != null)
                        .findFirst()
                        .map(s -> s.loaded().threads() + " threads of products")
                        .orElse("nothing measured"));
        notes.add("Medians of " + plan.rounds() + " rounds after " + report.warmUp()
                + " that does not count. Each scheme ran in a JVM of its own.");
        notes.add("A forward pass goes through all blocks, and through the head at one place of each row; rows are of"
                + " random tokens. Generation is greedy, " + plan.newTokens()
                + " tokens of each row, all rows together.");
        notes.add(
                tellsPeaks(report)
                        ? "Peak memory is the resident memory of the whole process, the JVM's with it, as the kernel counts"
                                + " it (VmHWM, reset before each line through /proc/self/clear_refs)."
                        : "Peak memory is not measured: this system does not tell it, or does not let it be reset"
                                + " (/proc/self/clear_refs).");
        if (plan.schemes().contains(BenchScheme.GPTQ) || plan.schemes().contains(BenchScheme.AWQ)) {
            notes.add("gptq and awq were quantized once, with " + QuantizingBench.CALIBRATION_ROWS + " rows of "
                    + QuantizingBench.CALIBRATION_LENGTH
                    + " random tokens, reading and writing included: more text takes longer.");
        }
        return notes;
    }

    /** What was not measured, and why, a line each: schemes with the same reason share it. */
    public static List<String> skipped(BenchReport report) {
        Map<String, List<String>> schemes = new LinkedHashMap<>();
        for (SchemeFigures scheme : report.schemes()) {
            List<String> lines = new ArrayList<>();
            if (scheme.failed() != null) {
                lines.add("all of it: " + scheme.failed());
            }
            scheme.generation().stream()
                    .filter(g -> g.skipped() != null)
                    .forEach(g -> lines.add("generation " + g.batch() + " × " + g.length() + ": " + g.skipped()));
            scheme.forward().stream()
                    .filter(p -> p.skipped() != null)
                    .forEach(p -> lines.add("forward " + p.batch() + " × " + p.length() + ": " + p.skipped()));
            lines.forEach(line -> schemes.computeIfAbsent(line.replace("\n", " "), k -> new ArrayList<>())
                    .add(scheme.label()));
        }
        return schemes.entrySet().stream()
                .map(line -> String.join(", ", line.getValue()) + ", " + line.getKey())
                .toList();
    }

    /** The whole as JSON. */
    public static JsonObject json(BenchReport report) {
        BenchPlan plan = report.plan();
        JsonObject json = new JsonObject();
        json.addProperty("model", plan.model());
        json.addProperty("machine", report.machine());
        json.addProperty("max_position_embeddings", report.maxPositionEmbeddings());
        json.addProperty("warm_up", report.warmUp());
        json.addProperty("rounds", plan.rounds());
        JsonArray schemes = new JsonArray();
        report.schemes().forEach(scheme -> schemes.add(Message.JSON.toJsonTree(scheme)));
        json.add("schemes", schemes);
        return json;
    }

    /**
     * Writes {@code bench.md}, {@code bench.json} and the pictures.
     *
     * @throws QloraException if a file cannot be written
     */
    public static void write(Path directory, BenchReport report) {
        boolean speed = BenchPictures.speed(directory.resolve("speed.png"), report);
        boolean memory = BenchPictures.memory(directory.resolve("memory.png"), report);
        StringBuilder text = new StringBuilder(
                "# " + Path.of(report.plan().model()).toAbsolutePath().getFileName() + " in quantization schemes\n\n");
        notes(report).forEach(note -> text.append(note).append("\n\n"));
        for (Table table : tables(report)) {
            text.append("## ").append(table.title()).append("\n\n");
            markdown(text, table.rows());
            text.append('\n');
        }
        if (!skipped(report).isEmpty()) {
            text.append("## Not measured\n\n");
            skipped(report).forEach(line -> text.append("- ").append(line).append('\n'));
            text.append('\n');
        }
        if (speed) {
            text.append("![speed](speed.png)\n\n");
        }
        if (memory) {
            text.append("![memory](memory.png)\n");
        }
        try {
            Files.writeString(directory.resolve("bench.md"), text);
            Files.writeString(
                    directory.resolve("bench.json"),
                    new GsonBuilder()
                                    .setPrettyPrinting()
                                    .serializeNulls()
                                    .create()
                                    .toJson(json(report)) + "\n");
        } catch (IOException e) {
            throw new QloraException(directory + ": cannot be written: " + Reason.of(e), e);
        }
    }

    private static void markdown(StringBuilder text, List<List<String>> rows) {
        for (int i = 0; i < rows.size(); i++) {
            text.append("| ").append(String.join(" | ", rows.get(i))).append(" |\n");
            if (i == 0) {
                text.append("| --- | --- |")
                        .append(" ---: |".repeat(rows.get(0).size() - 2))
                        .append('\n');
            }
        }
    }
}
