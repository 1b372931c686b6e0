package io.github.qlora4j.trainer.cli;

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
import java.util.List;
import java.util.Optional;
import picocli.CommandLine.Option;

/** The flags that say what the rows of {@code --data} are; what is not given is null. */
final class DatasetOptions {
    @Option(
            names = "--format",
            paramLabel = "FORMAT",
            description = "alpaca, text or tokenized; the run's by default, else alpaca.")
    DataFormat format;

    @Option(
            names = "--template",
            paramLabel = "NAME",
            description = "human_assistant or alpaca; the run's by default, else human_assistant.")
    BuiltinTemplate template;

    @Option(
            names = "--max-length",
            paramLabel = "N",
            description = "Tokens of a row at most; the run's by default, else 384.")
    private Integer maxLength;

    /** Whether one of them was given. */
    boolean any() {
        return format != null || template != null || maxLength != null;
    }

    void check() {
        if (maxLength != null && maxLength < 2) {
            throw new WrongUse("--max-length is " + maxLength + "; at least 2 is expected");
        }
    }

    /** Reads the rows of a file for a model; what no flag says is the run's, where it is one: even the file, if null. */
    Dataset load(LanguageModel language, String data) {
        Optional<DataSection> run = language.run().map(RunConfig::data);
        DataSource source = source(run, data);
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
        Dataset dataset = Dataset.load(source, encoder, Optional.empty());
        int vocabulary = language.decoder().base().config().vocabSize();
        if (dataset.largestId() >= vocabulary) {
            throw new QloraException(source.key() + ": " + String.join(", ", source.files()) + " has token "
                    + dataset.largestId() + "; the model's tokens are 0 to " + (vocabulary - 1));
        }
        return dataset;
    }

    private DataSource source(Optional<DataSection> run, String data) {
        DataFormat rows = format != null ? format : run.map(DataSection::format).orElse(DataFormat.ALPACA);
        FieldNames fields = run.map(DataSection::fields).orElse(FieldNames.DEFAULT);
        if (data != null) {
            return new DataSource("--data", List.of(data), rows, fields, OnBadRow.ERROR);
        }
        DataSection own = run.filter(section -> !section.eval().isEmpty())
                .orElseThrow(() -> new WrongUse(
                        "which rows? Give --data FILE" + (run.isEmpty() ? "" : "; the run has none in data.eval")));
        return new DataSource("data.eval", own.eval(), rows, fields, own.onBadRow());
    }
}
