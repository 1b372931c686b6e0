package io.github.qlora4j.trainer.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.LinearWeight;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.safetensors.SafetensorsWriter;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.data.Example;
import io.github.qlora4j.trainer.data.PackedRows;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Directories that auto-gptq and autoawq packed are read by what their config.json says. */
class GroupedDirectoryTest {

    private static final Path GROUPED = Golden.ROOT.resolve("grouped");
    private static final BaseOptions FLOAT32 = BaseOptions.unquantized(Dtype.FLOAT32);

    @TempDir
    private Path dir;

    // the same dequantized weights on both sides, float32 products: DecoderGoldenTest's bounds
    @ParameterizedTest
    @ValueSource(strings = {"gptq", "awq"})
    void scoresRowsAsADenseModelOfTheDequantizedWeights(String name) {
        List<JsonObject> rows = Golden.lines(GROUPED.resolve(name).resolve("logprobs-fp32.jsonl"));
        PackedRows packed = PackedRows.of(rows.stream()
                .map(row -> Golden.ints(row, "input_ids"))
                .map(ids -> new Example(ids, ids))
                .toList());
        try (BaseModel base = BaseModel.load(GROUPED.resolve(name), FLOAT32);
                Trained none = new Trained(base.config().numHiddenLayers());
                Decoder decoder = new Decoder(base, none);
                NDManager manager = Torch.newManager()) {
            assertThat(base.layers())
                    .allMatch(layer -> layer.linears().values().stream()
                            .map(LinearWeight::scheme)
                            .allMatch(name::equals));
            float[] found = Torch.toFloats(decoder.logProbabilities(manager, decoder.encode(manager, packed), packed));
            int at = 0;
            for (JsonObject row : rows) {
                for (float expected : Golden.floats(row, "logprobs")) {
                    assertThat(Math.abs(found[at++] - expected)).as("%s", row).isLessThan(1e-4f);
                }
            }
            assertThat(at).isEqualTo(found.length).isPositive();
        }
    }

    @Test
    void productsRunInTheModelsDtypeWhereNoneIsAskedFor() {
        try (BaseModel stored = BaseModel.load(GROUPED.resolve("gptq"), BaseOptions.unquantized());
                BaseModel cast = BaseModel.load(GROUPED.resolve("gptq"), FLOAT32)) {
            LinearWeight weight = stored.layers().get(0).linears().get("mlp.up_proj");
            assertThat(stored.computeOf(weight)).isEqualTo(Dtype.BFLOAT16);
            assertThat(cast.computeOf(weight)).isEqualTo(Dtype.FLOAT32);
        }
    }

    /** Checkpoints from before config.json had a place for it. */
    @Test
    void settingsInAFileOfTheirOwnAreRead() throws IOException {
        Path old = changed("gptq", tensors -> {});
        JsonObject config = Golden.json(old.resolve("config.json"));
        JsonObject settings = config.remove("quantization_config").getAsJsonObject();
        settings.remove("quant_method");
        Files.writeString(old.resolve("config.json"), config.toString());
        Files.writeString(old.resolve("quantize_config.json"), settings.toString());
        BaseModel.load(old, FLOAT32).close();
    }

    @Test
    void biasesOfZerosWhereTheModelHasNoneAreLeftOut() throws IOException {
        String bias = "model.layers.1.mlp.up_proj.bias";
        Path zeros = changed(
                "gptq",
                tensors -> tensors.put(
                        bias, Torch.zeros(tensors.values().iterator().next().getManager(), Dtype.FLOAT16, 128)));
        BaseModel.load(zeros, FLOAT32).close();
        Path ones = changed("gptq", tensors -> {
            NDArray one = Torch.zeros(tensors.values().iterator().next().getManager(), Dtype.FLOAT32, 128);
            Torch.bytes(one, 16, 4).putFloat(1);
            tensors.put(bias, one);
        });
        assertThatThrownBy(() -> BaseModel.load(ones, FLOAT32))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining(bias + " is there");
    }

    @ParameterizedTest
    @ValueSource(strings = {"qweight", "qzeros", "scales"})
    void aDamagedLayerIsNamed(String part) throws IOException {
        String name = "model.layers.1.self_attn.k_proj." + part;
        for (String scheme : List.of("gptq", "awq")) {
            Path damaged = changed(scheme, tensors -> tensors.remove(name));
            String missing = part.equals("qweight") ? "model.layers.1.self_attn.k_proj.weight" : name;
            assertThatThrownBy(() -> BaseModel.load(damaged, FLOAT32))
                    .isInstanceOf(QloraException.class)
                    .hasMessageContaining("tensor " + missing + " is missing");
        }
    }

    private Path changed(String scheme, Consumer<Map<String, NDArray>> change) throws IOException {
        Path copy = Files.createTempDirectory(dir, scheme);
        try (NDManager manager = Torch.newManager();
                ModelDirectory model = ModelDirectory.open(GROUPED.resolve(scheme))) {
            Map<String, NDArray> tensors = new LinkedHashMap<>();
            model.names().forEach(name -> tensors.put(name, model.read(manager, name)));
            change.accept(tensors);
            SafetensorsWriter.writeAll(copy.resolve("model.safetensors"), Map.of("format", "pt"), tensors);
        }
        Files.copy(GROUPED.resolve(scheme).resolve("config.json"), copy.resolve("config.json"));
        return copy;
    }
}
