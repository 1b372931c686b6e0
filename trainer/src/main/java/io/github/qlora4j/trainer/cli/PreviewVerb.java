package io.github.qlora4j.trainer.cli;

import io.github.qlora4j.trainer.config.ConfigFile;
import io.github.qlora4j.trainer.config.RunConfig;
import io.github.qlora4j.trainer.data.DataSource;
import io.github.qlora4j.trainer.data.Preview;
import io.github.qlora4j.trainer.data.TrainingData;
import io.github.qlora4j.trainer.tokenizer.Tokenizer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code preview}: the tokens of real rows, learned and masked told apart. */
@Command(
        name = "preview",
        description =
                "Shows the tokens of the first rows of data.train as the model is given them. Learned tokens stand"
                        + " in [brackets] (green on a terminal), the others are context.")
final class PreviewVerb extends Verb {
    private static final String GREEN = "\u001b[32m";
    private static final String PLAIN = "\u001b[0m";

    @Parameters(paramLabel = "CONFIG", description = "The run's YAML file.")
    private Path config;

    @Option(names = "--set", paramLabel = "KEY=VALUE", description = "Set a key over the file; may be repeated.")
    private List<String> sets = new ArrayList<>();

    @Option(names = "--rows", paramLabel = "N", defaultValue = "2", description = "Rows to show; 2 is the default.")
    private int rows;

    @Option(names = "--ids", description = "Show the id beside each token.")
    private boolean ids;

    @Override
    public Integer call() {
        if (rows < 1) {
            throw new WrongUse("--rows is " + rows + "; at least 1 is expected");
        }
        RunConfig run = ConfigFile.load(config, sets).config();
        try (Tokenizer tokenizer = Tokenizer.load(run.model().path())) {
            List<Preview> previews =
                    Preview.rows(DataSource.train(run.data()), TrainingData.encoder(run.data(), tokenizer), rows);
            previews.forEach(this::show);
        }
        return Main.OK;
    }

    private void show(Preview row) {
        int total = row.tokens().size();
        out().println("--- " + row.place() + ": " + total + " tokens, " + row.learned() + " learned"
                + (row.tokensCut() > 0 ? ", " + row.tokensCut() + " cut off" : "")
                + (row.learned() == 0 ? ", left out of training" : ""));
        boolean color = terminal().columns() > 0 && System.console() != null;
        StringBuilder text = new StringBuilder();
        boolean learned = false;
        for (Preview.Token token : row.tokens()) {
            if (token.learned() != learned) {
                learned = token.learned();
                text.append(color ? learned ? GREEN : PLAIN : learned ? "[" : "]");
            }
            text.append(token.text());
            if (ids) {
                text.append('(').append(token.id()).append(')');
            }
        }
        if (learned) {
            text.append(color ? PLAIN : "]");
        }
        out().println(text);
    }
}
