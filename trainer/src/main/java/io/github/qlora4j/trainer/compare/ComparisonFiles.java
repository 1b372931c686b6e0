package io.github.qlora4j.trainer.compare;

import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.Reason;
import io.github.qlora4j.quant.scheme.Granularity;
import io.github.qlora4j.quant.scheme.SchemeNames;
import io.github.qlora4j.trainer.report.Figures;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalDouble;
import java.util.stream.IntStream;

/** Tables of a comparison of schemes, and the directory that it leaves behind. */
public final class ComparisonFiles {

    private static final List<String> HEAD =
            List.of("scheme", "granularity", "bits/weight", "mse", "max error", "SNR dB");
    private static final int EXAMPLE = 256;

    private ComparisonFiles() {}

    /** A scheme a row: what the whole model lost, and the perplexity where it was measured. */
    public static List<List<String>> table(List<Compared> all, OptionalDouble unquantized) {
        List<List<String>> rows = new ArrayList<>();
        rows.add(unquantized.isPresent() ? with(HEAD, "perplexity") : HEAD);
        unquantized.ifPresent(p -> rows.add(List.of("unquantized", "", "", "", "", "", Figures.decimal(p, 4))));
        for (Compared compared : all) {
            List<String> cells = compared.cells(compared.whole());
            rows.add(
                    compared.perplexity().isPresent()
                            ? with(cells, Figures.decimal(compared.perplexity().getAsDouble(), 4))
                            : cells);
        }
        return rows;
    }

    /** A scheme and a block a row. */
    private static List<List<String>> layerTable(List<Compared> all) {
        List<List<String>> rows = new ArrayList<>();
        rows.add(with(HEAD, "layer"));
        for (Compared compared : all) {
            for (int i = 0; i < compared.layers().size(); i++) {
                rows.add(with(compared.cells(compared.layers().get(i)), Integer.toString(i)));
            }
        }
        return rows;
    }

    private static List<String> with(List<String> cells, String more) {
        List<String> longer = new ArrayList<>(cells);
        longer.add(more);
        return longer;
    }

    /** A table in columns for a terminal. */
    public static List<String> columns(List<List<String>> rows) {
        int[] widths = IntStream.range(0, rows.get(0).size())
                .map(c -> rows.stream().mapToInt(r -> r.get(c).length()).max().orElseThrow())
                .toArray();
        return rows.stream()
                .map(row -> IntStream.range(0, widths.length)
                        .mapToObj(c -> {
                            String gap = " ".repeat(widths[c] - row.get(c).length());
                            return c < 2 ? row.get(c) + gap : gap + row.get(c); // names left, numbers right
                        })
                        .reduce((a, b) -> a + "  " + b)
                        .orElseThrow()
                        .stripTrailing())
                .toList();
    }

    /** The whole as JSON: {@link Compared#json()} of each scheme. */
    public static JsonArray json(List<Compared> all) {
        JsonArray list = new JsonArray();
        all.forEach(compared -> list.add(compared.json()));
        return list;
    }

    /**
     * Writes {@code compare.md} with both tables and the pictures, {@code compare.json}, {@code layers.json} and a
     * picture a scheme.
     *
     * @param directory where to; it is there
     * @param unquantized the model's own perplexity, where it was measured
     * @throws QloraException if a file cannot be written
     */
    public static void write(
            Path directory, SchemeComparison comparison, List<Compared> all, OptionalDouble unquantized) {
        StringBuilder text = new StringBuilder("# Schemes on the linear layers of the model\n\n");
        markdown(text, table(all, unquantized));
        Histogram original = comparison.original().orElseGet(Histogram::ofWeights);
        StringBuilder pictures = new StringBuilder();
        for (Compared compared : all) {
            String label = compared.scheme().label();
            String name = "histogram-" + label.replace(':', '-') + ".png";
            if (SchemePictures.histogram(directory.resolve(name), label, original, compared.weights())) {
                pictures.append("![").append(label).append("](").append(name).append(")\n");
            }
        }
        float[] example = comparison.example(EXAMPLE);
        if (SchemePictures.normalQuantiles(directory.resolve("normal-quantiles.png"), 4)
                && SchemePictures.ranges(directory.resolve("ranges.png"), example, 4)
                && SchemePictures.beforeAndAfter(
                        directory.resolve("blocks.png"),
                        example,
                        SchemeNames.parse("nf4:" + Granularity.block(64)).get(0))) {
            pictures.append("\n## The schemes\n\n![Quantiles of the normal distribution](normal-quantiles.png)\n")
                    .append("![Symmetric and asymmetric ranges](ranges.png)\n")
                    .append("![A tensor before and after block-wise NF4](blocks.png)\n");
        }
        text.append("\n## Weights before and after\n\n").append(pictures);
        text.append("\n## By layer\n\n");
        markdown(text, layerTable(all));
        JsonArray layers = new JsonArray();
        for (Compared compared : all) {
            IntStream.range(0, compared.layers().size()).forEach(i -> layers.add(compared.json(i)));
        }
        try {
            Files.writeString(directory.resolve("compare.md"), text);
            Files.writeString(directory.resolve("compare.json"), text(json(all)));
            Files.writeString(directory.resolve("layers.json"), text(layers));
        } catch (IOException e) {
            throw new QloraException(directory + ": cannot be written: " + Reason.of(e), e);
        }
    }

    private static String text(JsonArray list) {
        return new GsonBuilder().setPrettyPrinting().serializeNulls().create().toJson(list) + "\n";
    }

    private static void markdown(StringBuilder text, List<List<String>> rows) {
        for (int i = 0; i < rows.size(); i++) {
            text.append("| ").append(String.join(" | ", rows.get(i))).append(" |\n");
            if (i == 0) {
                text.append("|").append(" --- |".repeat(rows.get(0).size())).append("\n");
            }
        }
    }
}
