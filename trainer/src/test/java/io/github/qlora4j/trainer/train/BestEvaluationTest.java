package io.github.qlora4j.trainer.train;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/** Values are those of transformers; see {@code scripts/golden/best.py}. */
class BestEvaluationTest {

    @Test
    void bestAndPatience_areThoseOfTransformers() throws IOException {
        String golden = Files.readString(Path.of("src/test/resources/golden/training/best.json"));
        for (JsonElement element : JsonParser.parseString(golden).getAsJsonArray()) {
            JsonObject row = element.getAsJsonObject();
            BestEvaluation best = BestEvaluation.NONE;
            for (int i = 0; i < row.getAsJsonArray("losses").size(); i++) {
                String text = row.getAsJsonArray("losses").get(i).getAsString();
                double loss = text.equals("nan") ? Double.NaN : Double.parseDouble(text);
                best = best.after(10 * (i + 1), loss, row.get("threshold").getAsDouble());
                JsonArray expected = row.getAsJsonArray("steps").get(i).getAsJsonArray();
                assertThat(best)
                        .as("%s, evaluation %s", row, i + 1)
                        .isEqualTo(new BestEvaluation(
                                expected.get(0).getAsDouble(),
                                expected.get(1).getAsLong(),
                                expected.get(2).getAsInt()));
            }
        }
    }

    @Test
    void aPatienceOfZeroNeverStops() {
        BestEvaluation worse = BestEvaluation.NONE.after(1, 1, 0).after(2, 2, 0);
        assertThat(worse.exhausts(0)).isFalse();
        assertThat(worse.exhausts(1)).isTrue();
        assertThat(worse.exhausts(2)).isFalse();
    }
}
