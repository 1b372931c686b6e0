package io.github.qlora4j.trainer.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import ai.djl.ndarray.NDManager;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** {@code config.json} with keys missing, null and set is read as transformers reads it: scripts/golden/configs.py. */
class ModelConfigGoldenTest {

    @TempDir
    Path dir;

    static List<JsonObject> rows() throws IOException {
        return JsonParser.parseString(Files.readString(Golden.ROOT.resolve("configs.json")))
                .getAsJsonArray()
                .asList()
                .stream()
                .map(JsonElement::getAsJsonObject)
                .toList();
    }

    private ModelConfig read(JsonObject json) throws IOException {
        Files.writeString(dir.resolve("config.json"), json.toString());
        return ModelConfig.read(dir);
    }

    @ParameterizedTest
    @MethodSource("rows")
    void readsWhatTransformersReads(JsonObject row) throws IOException {
        JsonObject expected = row.getAsJsonObject("expected");
        int keyHeads = expected.get("num_key_value_heads").getAsInt();
        int heads = row.getAsJsonObject("config").get("num_attention_heads").getAsInt();
        if (heads % keyHeads != 0) {
            // transformers computes nothing from these either: its default does not divide the file's heads
            assertThatThrownBy(() -> read(row.getAsJsonObject("config")))
                    .isInstanceOf(QloraException.class)
                    .hasMessageContaining("num_key_value_heads");
            return;
        }
        ModelConfig config = read(row.getAsJsonObject("config"));
        assertThat(config.numKeyValueHeads()).isEqualTo(keyHeads);
        assertThat(config.headDim()).isEqualTo(expected.get("head_dim").getAsInt());
        assertThat(config.rmsNormEps()).isEqualTo(expected.get("rms_norm_eps").getAsDouble());
        assertThat(config.tieWordEmbeddings())
                .isEqualTo(expected.get("tie_word_embeddings").getAsBoolean());
        assertThat(config.slidingWindows())
                .isEqualTo(expected.getAsJsonArray("windows").asList().stream()
                        .map(JsonElement::getAsInt)
                        .toList());
        try (Rope rope = new Rope(config)) {
            assertAngles(rope, expected);
        }
    }

    private static void assertAngles(Rope rope, JsonObject expected) {
        expected.getAsJsonObject("angles").entrySet().forEach(entry -> {
            int length = Integer.parseInt(entry.getKey());
            JsonArray tables = entry.getValue().getAsJsonArray();
            try (NDManager manager = Torch.newManager()) {
                int[] lengths = new int[length];
                Arrays.fill(lengths, length);
                Rope.Angles angles = rope.at(manager, IntStream.range(0, length).toArray(), lengths, Dtype.FLOAT32);
                assertLast(angles.cos(), tables.get(0).getAsJsonArray());
                assertLast(angles.sin(), tables.get(1).getAsJsonArray());
            }
        });
    }

    // the frequency's last bit (2^-24) times position 49 and a factor of at most 1.2
    private static void assertLast(ai.djl.ndarray.NDArray table, JsonArray expected) {
        float[] all = Torch.toFloats(table);
        float[] last = Arrays.copyOfRange(all, all.length - expected.size(), all.length);
        for (int i = 0; i < last.length; i++) {
            assertThat(last[i]).as("dimension %d", i).isCloseTo(expected.get(i).getAsFloat(), within(5e-6f));
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "mistral | \"layer_types\": [\"full_attention\", \"sliding_attention\"] | layer_types: expected sliding_attention in every layer",
                "llama | \"layer_types\": [\"full_attention\", \"sliding_attention\"] | layer_types: expected full_attention in every layer",
                "qwen2 | \"layer_types\": [\"full_attention\", \"sliding_attention\"] | layer_types: expected no sliding_attention",
                "llama | \"rope_parameters\": {\"rope_theta\": 5.0}, \"rope_scaling\": {\"type\": \"yarn\"} | rope_scaling: expected nothing beside rope_parameters"
            })
    void refusesWhatWouldBePassedOver(String family, String keys, String message) {
        JsonObject json = JsonParser.parseString("{\"model_type\": \"" + family
                        + "\", \"hidden_size\": 64, \"intermediate_size\": 64, \"vocab_size\": 9, \"num_hidden_layers\": 2,"
                        + "\"num_attention_heads\": 8, \"num_key_value_heads\": 8, " + keys + "}")
                .getAsJsonObject();
        assertThatThrownBy(() -> read(json)).isInstanceOf(QloraException.class).hasMessageContaining(message);
    }
}
