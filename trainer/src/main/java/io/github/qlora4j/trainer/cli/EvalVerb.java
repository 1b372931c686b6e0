package io.github.qlora4j.trainer.cli;

import com.google.gson.JsonObject;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.trainer.config.BuiltinTemplate;
import io.github.qlora4j.trainer.config.DataFormat;
import io.github.qlora4j.trainer.config.DataSection;
import io.github.qlora4j.trainer.config.FieldNames;
import io.github.qlora4j.trainer.config.OnBadRow;
import io.github.qlora4j.trainer.config.RunConfig;
import io.github.qlora4j.trainer.config.TemplateChoice;
import io.github.qlora4j.trainer.data.DataSource;
import io.github.qlora4j.trainer.data.Dataset;
import io.github.qlora4j.trainer.data.RowEncoder;
import io.github.qlora4j.trainer.data.Template;
import io.github.qlora4j.trainer.generate.LanguageModel;
import io.github.qlora4j.trainer.train.Evaluation;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
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

    @Option(names = "--data", required = true, paramLabel = "FILE", description = "Rows, JSONL or a JSON array.")
    private String data;

    @Option(
            names = "--format",
            paramLabel = "FORMAT",
            description = "alpaca, text or tokenized; the run's by default, else alpaca.")
    private DataFormat format;

    @Option(
            names = "--template",
            paramLabel = "NAME",
            description = "human_assistant or alpaca; the run's by default, else human_assistant.")
    private BuiltinTemplate template;

    @Option(
            names = "--max-length",
            paramLabel = "N",
            description = "Tokens of a row at most; the run's by default, else 384.")
    private Integer maxLength;

    @Option(names = "--json", description = "One JSON object.")
    private boolean json;

    @Override
    public Integer call() {
        if (maxLength != null && maxLength < 2) {
            throw new WrongUse("--max-length is " + maxLength + "; at least 2 is expected");
        }
        try (LanguageModel language = model.open(template)) {
            Optional<DataSection> run = language.run().map(RunConfig::data);
            Template words = template != null
                    ? Template.of(TemplateChoice.named(template))
                    : run.map(r -> Template.of(r.template())).orElse(Template.HUMAN_ASSISTANT);
            RowEncoder encoder = new RowEncoder(
                    language.requireTokenizer(),
                    words,
                    new RowEncoder.Settings(
                            run.map(DataSection::addBos).orElse(false),
                            maxLength != null
                                    ? maxLength
                                    : run.map(DataSection::maxLength).orElse(384),
                            run.map(DataSection::trainOnPrompt).orElse(false),
                            false));
            DataFormat rows =
                    format != null ? format : run.map(DataSection::format).orElse(DataFormat.ALPACA);
            FieldNames fields = run.map(DataSection::fields).orElse(FieldNames.DEFAULT);
            Dataset dataset = Dataset.load(
                    new DataSource("--data", List.of(data), rows, fields, OnBadRow.ERROR), encoder, Optional.empty());
            int vocabulary = language.decoder().base().config().vocabSize();
            if (dataset.largestId() >= vocabulary) {
                throw new QloraException("--data: " + data + " has token " + dataset.largestId()
                        + "; the model's tokens are 0 to " + (vocabulary - 1));
            }
            tell(dataset, Evaluation.of(language.decoder(), dataset, BATCH));
        }
        return Main.OK;
    }

    private void tell(Dataset dataset, Evaluation evaluation) {
        if (json) {
            JsonObject object = new JsonObject();
            object.addProperty("loss", evaluation.loss());
            object.addProperty("perplexity", evaluation.perplexity());
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
