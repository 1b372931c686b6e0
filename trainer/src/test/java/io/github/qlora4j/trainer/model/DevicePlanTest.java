package io.github.qlora4j.trainer.model;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.trainer.config.Device;
import io.github.qlora4j.trainer.config.DeviceMap;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Device maps are accelerate's; {@code scripts/golden/placement.py} made them, and compared transformers' copy. */
class DevicePlanTest {

    private static final Path FILE = Path.of("src/test/resources/golden/plan/device-maps.json");

    @TempDir
    private Path dir;

    private static JsonObject golden() throws IOException {
        return JsonParser.parseString(Files.readString(FILE)).getAsJsonObject();
    }

    static Stream<JsonObject> cases() throws IOException {
        return golden().getAsJsonArray("cases").asList().stream().map(JsonElement::getAsJsonObject);
    }

    @ParameterizedTest
    @MethodSource("cases")
    void theMapIsAccelerates(JsonObject row) throws IOException {
        JsonElement keys =
                golden().getAsJsonObject("models").get(row.get("model").getAsString());
        Files.writeString(dir.resolve("config.json"), keys.toString());
        ModelConfig config = ModelConfig.read(dir);
        String size = row.get("size").getAsString();
        ModuleTree model = ModuleTree.of(
                config,
                (name, linear) -> linear.out() * linear.in() * width(size),
                size.equals("float32") ? Dtype.FLOAT32 : Dtype.BFLOAT16);
        row.getAsJsonObject("bytes")
                .entrySet()
                .forEach(entry -> assertThat(model.all()
                                .filter(module -> module.name().equals(entry.getKey()))
                                .mapToDouble(ModuleTree::bytes)
                                .sum())
                        .as("bytes of %s", entry.getKey())
                        .isEqualTo(entry.getValue().getAsDouble()));

        Map<Device, Double> limits = bytes(row.getAsJsonObject("max_memory"));
        if (!row.get("strategy").isJsonNull()) {
            DeviceMap.Strategy strategy =
                    DeviceMap.Strategy.valueOf(row.get("strategy").getAsString().toUpperCase(Locale.ROOT));
            limits = DevicePlan.balanced(model, limits, true, strategy);
        }
        assertThat(limits).isEqualTo(bytes(row.getAsJsonObject("limits")));
        Map<String, Device> expected = new LinkedHashMap<>();
        row.getAsJsonObject("device_map")
                .entrySet()
                .forEach(entry -> expected.put(
                        entry.getKey(), Device.parse(entry.getValue().getAsString())));
        assertThat(DevicePlan.infer(model, config.tieWordEmbeddings(), limits)).isEqualTo(expected);
    }

    private static double width(String size) {
        return switch (size) {
            case "float32" -> 4;
            case "bfloat16" -> 2;
            case "int8" -> 1;
            case "nf4" -> 0.5;
            default -> throw new AssertionError(size);
        };
    }

    private static Map<Device, Double> bytes(JsonObject limits) {
        Map<Device, Double> bytes = new LinkedHashMap<>();
        limits.entrySet()
                .forEach(entry ->
                        bytes.put(Device.parse(entry.getKey()), entry.getValue().getAsDouble()));
        return bytes;
    }
}
