package io.github.qlora4j.trainer.cli;

import com.google.gson.JsonObject;
import io.github.qlora4j.trainer.data.Dataset;
import io.github.qlora4j.trainer.generate.LanguageModel;
import io.github.qlora4j.trainer.train.Evaluation;
import java.util.Locale;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code eval}: how well a model predicts the answers of some rows. */
@Command(
        name = "eval",
        description = "Measures the mean loss over the learned tokens of some rows, and its perplexity.")
final class EvalVerb extends Verb {
    private static final int BATCH = 4;

    @Mixin
    private ModelOptions model;

    @Option(
            names = "--data",
            paramLabel = "FILE",
            description = "Rows, JSONL or a JSON array; with a run as --adapter, its data.eval by default.")
    private String data;

    @Mixin
    private DatasetOptions rows;

    @Option(names = "--json", description = "One JSON object.")
    private boolean json;

    @Override
    public Integer call() {
        rows.check();
        try (LanguageModel language = model.open(rows.template)) {
            Dataset dataset = rows.load(language, data);
            tell(dataset, Evaluation.of(language.decoder(), dataset, BATCH));
        }
        return Main.OK;
    }

    private void tell(Dataset dataset, Evaluation evaluation) {
        if (json) {
            JsonObject object = new JsonObject();
            object.addProperty("loss", evaluation.loss());
            // e to a loss above 709 is beyond the doubles, and JSON has no infinity
            object.addProperty("perplexity", Double.isFinite(evaluation.perplexity()) ? evaluation.perplexity() : null);
            object.addProperty("tokens", evaluation.learnedTokens());
            object.addProperty("rows", dataset.size());
            out().println(object);
            return;
        }
        say(dataset.report().summary());
        out().println(String.format(
                Locale.ROOT,
                "loss %.6f, perplexity %.4f over %,d tokens of %,d rows",
                evaluation.loss(),
                evaluation.perplexity(),
                evaluation.learnedTokens(),
                dataset.size()));
    }
}
