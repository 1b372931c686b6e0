package io.github.qlora4j.trainer.cli;

import com.google.gson.GsonBuilder;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.NewDirectory;
import io.github.qlora4j.quant.scheme.Scheme;
import io.github.qlora4j.quant.scheme.SchemeNames;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.compare.Compared;
import io.github.qlora4j.trainer.compare.ComparisonFiles;
import io.github.qlora4j.trainer.compare.SchemeComparison;
import io.github.qlora4j.trainer.compare.SchemeComparison.Scored;
import io.github.qlora4j.trainer.config.DataFormat;
import io.github.qlora4j.trainer.config.ModelSection;
import io.github.qlora4j.trainer.config.Precision;
import io.github.qlora4j.trainer.data.JsonObjects;
import io.github.qlora4j.trainer.generate.LanguageModel;
import io.github.qlora4j.trainer.generate.ModelSource;
import io.github.qlora4j.trainer.model.BaseSetup;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code compare}: what schemes do to a model. */
@Command(
        name = "compare",
        description = "Sends the linear layers of a model through quantization schemes and back, and shows what that"
                + " costs: bits a weight, mean squared and largest error, signal to noise, and perplexity where there"
                + " are rows to measure it on.",
        footer = {
            "Schemes: " + SchemeNames.KNOWN + ".",
            "Behind a scheme may stand :tensor, :row, :column or :block64 (of any size);",
            "without it, integers are shown in all of these, codes in blocks of 64.",
            "DIR gets compare.md with tables and pictures, compare.json and layers.json.",
            "Example: qlora compare --model models/llama --schemes absmax,nf4:block128 --output compared"
        })
final class CompareVerb extends Verb {
    @Option(names = "--model", required = true, paramLabel = "DIR", description = "The model, unquantized.")
    private Path model;

    @Option(
            names = "--schemes",
            split = ",",
            paramLabel = "NAME",
            description = "Names with commas between; a choice of all kinds by default.")
    private List<String> schemes = List.of();

    @Option(
            names = "--data",
            paramLabel = "FILE",
            description = "Rows to measure perplexity on, JSONL or a JSON array. Their format is that of the first row,"
                    + " unless --format is given.")
    private Path data;

    @Mixin
    private DatasetOptions rows;

    @Option(names = "--output", required = true, paramLabel = "DIR", description = "Must not exist, or be empty.")
    private Path output;

    @Option(
            names = "--dtype",
            paramLabel = "DTYPE",
            description = "Dtype of the model for perplexity: float32, bfloat16 or float16; config.json's by default.")
    private Precision dtype;

    @Option(names = "--threads", paramLabel = "N", description = "Threads of the products; all cores by default.")
    private Integer threads;

    @Option(names = "--json", description = "One JSON array.")
    private boolean json;

    @Override
    public Integer call() throws IOException {
        List<Scheme> wanted = schemes();
        rows.check();
        if (data == null && (rows.any() || dtype != null)) {
            throw new WrongUse("--format, --template, --max-length and --dtype are about perplexity; they need --data");
        }
        if (threads != null) {
            if (threads < 1) {
                throw new WrongUse("--threads is " + threads + "; at least 1 is expected");
            }
            Torch.setThreads(threads);
        }
        try (NewDirectory directory = NewDirectory.begin(output, 0)) {
            if (data == null) {
                compare(wanted, directory, Optional.empty());
            } else {
                Precision stored = dtype == null ? Precision.AUTO : dtype;
                ModelSource source = ModelSource.ofModel(
                        model, BaseSetup.options(new ModelSection(model, stored, false), Optional.empty()));
                // opened once more by name: a quantized model is refused before it is loaded
                SchemeComparison.open(model, Optional.empty()).close();
                try (LanguageModel language = LanguageModel.open(source)) {
                    if (rows.format == null) {
                        rows.format = formatOfFirstRow();
                    }
                    Scored scored = new Scored(language, rows.load(language, data.toString()));
                    compare(wanted, directory, Optional.of(scored));
                }
            }
        }
        return Main.OK;
    }

    private List<Scheme> schemes() {
        if (schemes.isEmpty()) {
            return SchemeNames.standard();
        }
        try {
            return schemes.stream()
                    .flatMap(name -> SchemeNames.parse(name.strip()).stream())
                    .distinct()
                    .toList();
        } catch (QloraException e) {
            throw new WrongUse(e);
        }
    }

    private DataFormat formatOfFirstRow() {
        if (!Files.isRegularFile(data)) {
            return DataFormat.ALPACA; // reading it as any format says what is wrong
        }
        List<JsonObjects> all = JsonObjects.read(data);
        JsonObject first = all.isEmpty() ? new JsonObject() : all.get(0).value();
        return first.has("input_ids")
                ? DataFormat.TOKENIZED
                : first.has("text") && !first.has("instruction") ? DataFormat.TEXT : DataFormat.ALPACA;
    }

    private void compare(List<Scheme> wanted, NewDirectory directory, Optional<Scored> scored) throws IOException {
        List<Compared> all = new ArrayList<>();
        OptionalDouble unquantized =
                scored.isPresent() ? OptionalDouble.of(scored.get().perplexity()) : OptionalDouble.empty();
        try (SchemeComparison comparison = SchemeComparison.open(model, scored)) {
            for (Scheme scheme : wanted) {
                terminal().live(scheme.label() + "  " + (all.size() + 1) + "/" + wanted.size());
                all.add(comparison.compare(scheme));
            }
            ComparisonFiles.write(directory.path(), comparison, all, unquantized);
        } finally {
            terminal().live("");
        }
        directory.finish();
        if (json) {
            out().println(new GsonBuilder().serializeNulls().create().toJson(ComparisonFiles.json(all)));
        } else {
            ComparisonFiles.columns(ComparisonFiles.table(all, unquantized)).forEach(out()::println);
        }
        say("tables and pictures: " + output.resolve("compare.md"));
    }
}
