package io.github.qlora4j.trainer.cli;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.trainer.data.JsonObjects;
import io.github.qlora4j.trainer.generate.LanguageModel;
import java.math.BigDecimal;
import java.math.RoundingMode;
import java.nio.file.Path;
import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code score}: log-probabilities of every token of some texts. */
@Command(
        name = "score",
        description = "Writes the natural logarithm of the probability of each token given those before it.",
        footer = {
            "A row in is {\"text\": ...} or {\"input_ids\": [...]};",
            "a row out is {\"input_ids\": [...], \"logprobs\": [...]}.",
            "logprobs[i] belongs to input_ids[i + 1]. Texts get what tokenizer.json puts around them."
        })
final class ScoreVerb extends Verb {
    @Mixin
    private ModelOptions model;

    @Option(names = "--data", required = true, paramLabel = "FILE", description = "Rows, JSONL or a JSON array.")
    private Path data;

    @Option(
            names = "--output",
            required = true,
            paramLabel = "FILE",
            description = "Where the scores go: JSONL, or a JSON array where the name ends in .json.")
    private Path output;

    @Override
    public Integer call() {
        List<JsonObjects> rows = JsonObjects.read(data);
        try (LanguageModel language = model.open(null);
                RowsOut out = new RowsOut(output)) {
            for (JsonObjects row : rows) {
                out.write(score(language, row));
            }
            out.finish();
        }
        return Main.OK;
    }

    private static JsonObject score(LanguageModel language, JsonObjects row) {
        int[] ids = TokenRows.ids(row, language::requireTokenizer);
        float[] scores;
        try {
            scores = language.score(ids);
        } catch (QloraException e) {
            throw new QloraException(row.place() + ": " + e.getMessage(), e);
        }
        JsonObject scored = new JsonObject();
        JsonArray tokens = new JsonArray(ids.length);
        for (int id : ids) {
            tokens.add(id);
        }
        scored.add("input_ids", tokens);
        JsonArray logprobs = new JsonArray(scores.length);
        for (float score : scores) {
            if (!Float.isFinite(score)) {
                throw new QloraException(row.place() + ": the model gives a log-probability of " + score + ": "
                        + language.decoder().whyNotFinite());
            }
            logprobs.add(BigDecimal.valueOf((double) score)
                    .setScale(6, RoundingMode.HALF_EVEN)
                    .doubleValue());
        }
        scored.add("logprobs", logprobs);
        return scored;
    }
}
