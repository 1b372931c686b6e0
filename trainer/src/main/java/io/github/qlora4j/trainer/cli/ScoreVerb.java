package io.github.qlora4j.trainer.cli;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
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
        int[] ids = ids(language, row);
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

    private static int[] ids(LanguageModel language, JsonObjects row) {
        if (row.value().has("input_ids")) {
            if (!(row.value().get("input_ids") instanceof JsonArray list) || list.isEmpty()) {
                throw row.wrong("input_ids", "expected a list of token ids, at least one");
            }
            int[] ids = new int[list.size()];
            for (int i = 0; i < ids.length; i++) {
                ids[i] = id(row, list.get(i), i);
            }
            return ids;
        }
        if (!row.value().has("text")) {
            throw new QloraException(row.place() + ": a row has \"text\" or \"input_ids\"; found "
                    + (row.value().keySet().isEmpty() ? "nothing" : row.value().keySet()));
        }
        String text = row.text("text");
        try {
            int[] ids = language.requireTokenizer().encodeWithSpecialTokens(text);
            if (ids.length == 0) {
                throw new QloraException("the text has no token");
            }
            return ids;
        } catch (QloraException e) {
            throw new QloraException(row.place() + ": " + e.getMessage(), e);
        }
    }

    private static int id(JsonObjects row, JsonElement value, int at) {
        if (value instanceof JsonPrimitive number && number.isNumber()) {
            try {
                return Integer.parseInt(number.getAsString());
            } catch (NumberFormatException e) {
                // not a whole number of this size: named below
            }
        }
        throw new QloraException(
                row.place() + ": field \"input_ids[" + at + "]\": expected a token id, found " + value);
    }
}
