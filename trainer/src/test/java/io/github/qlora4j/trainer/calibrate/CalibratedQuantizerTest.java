package io.github.qlora4j.trainer.calibrate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.AwqConfig;
import io.github.qlora4j.quant.GptqConfig;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.safetensors.SafetensorsWriter;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.data.Example;
import io.github.qlora4j.trainer.data.PackedRows;
import io.github.qlora4j.trainer.model.BaseModel;
import io.github.qlora4j.trainer.model.BaseOptions;
import io.github.qlora4j.trainer.model.Decoder;
import io.github.qlora4j.trainer.model.Golden;
import io.github.qlora4j.trainer.model.Trained;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Compares with auto-gptq's solver and autoawq's quantizer led through the same model; scripts/golden/calibrated.py. */
class CalibratedQuantizerTest {

    private static final JsonObject GOLDEN = Golden.json(Golden.ROOT.resolve("calibrated/logprobs.json"));

    @TempDir
    private Path dir;

    private Path model;

    @BeforeEach
    void makeTheModel() throws IOException {
        Torch.setThreads(1);
        model = Files.createDirectory(dir.resolve("model"));
        Files.writeString(model.resolve("config.json"), """
                {"model_type": "llama", "vocab_size": 64, "hidden_size": 64, "intermediate_size": 128,
                 "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4,
                 "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "tie_word_embeddings": true}""");
        Files.writeString(model.resolve("tokenizer.json"), "{}");
        Map<String, long[]> shapes = new TreeMap<>();
        shapes.put("model.embed_tokens.weight", new long[] {64, 64});
        shapes.put("model.norm.weight", new long[] {64});
        for (int i = 0; i < 2; i++) {
            String prefix = "model.layers." + i + ".";
            for (String name : List.of("q_proj", "k_proj", "v_proj", "o_proj")) {
                shapes.put(prefix + "self_attn." + name + ".weight", new long[] {64, 64});
            }
            shapes.put(prefix + "mlp.gate_proj.weight", new long[] {128, 64});
            shapes.put(prefix + "mlp.up_proj.weight", new long[] {128, 64});
            shapes.put(prefix + "mlp.down_proj.weight", new long[] {64, 128});
            shapes.put(prefix + "input_layernorm.weight", new long[] {64});
            shapes.put(prefix + "post_attention_layernorm.weight", new long[] {64});
        }
        Map<String, NDArray> tensors = new TreeMap<>();
        try (NDManager manager = Torch.newManager()) {
            int seed = 100;
            for (Map.Entry<String, long[]> entry : shapes.entrySet()) {
                long[] shape = entry.getValue();
                float[] values = uniform((int) (shape[0] * (shape.length == 1 ? 1 : shape[1])), seed++);
                for (int i = 0; i < values.length; i++) {
                    if (shape.length == 1) {
                        values[i] = 1 + values[i] / 2;
                    } else {
                        values[i] *= entry.getKey().contains("embed") ? 1 : (float) (4 / Math.sqrt(shape[1]));
                    }
                }
                tensors.put(entry.getKey(), Torch.ofFloats(manager, values, shape));
            }
            SafetensorsWriter.writeAll(model.resolve("model.safetensors"), Map.of("format", "pt"), tensors);
        }
    }

    /** grouped.py's and calibrated.py's numbers. */
    private static float[] uniform(int n, int seed) {
        float[] values = new float[n];
        for (int i = 0; i < n; i++) {
            int h = i * 0x9E3779B1 + seed * 0x85EBCA6B;
            h ^= h >>> 15;
            h *= 0x2C1B3C6D;
            h ^= h >>> 12;
            h *= 0x297A2D39;
            h ^= h >>> 15;
            values[i] = (h >>> 8) * 0x1p-24f - 0.5f;
        }
        return values;
    }

    private static List<int[]> rows(String key) {
        return GOLDEN.getAsJsonArray(key).asList().stream()
                .map(row -> row.getAsJsonArray().asList().stream()
                        .mapToInt(JsonElement::getAsInt)
                        .toArray())
                .toList();
    }

    private static CalibrationMethod method(String name) {
        return switch (name) {
            case "gptq" -> CalibrationMethod.gptq(new GptqConfig(4, 32, true, false, false, 0.1));
            case "gptq-3-desc" -> CalibrationMethod.gptq(new GptqConfig(3, 32, false, true, false, 0.1));
            default -> CalibrationMethod.awq(new AwqConfig(32));
        };
    }

    private static double[] differences(Path directory, String golden) {
        PackedRows packed = PackedRows.of(
                rows("rows").stream().map(ids -> new Example(ids, ids)).toList());
        try (BaseModel base = BaseModel.load(directory, BaseOptions.unquantized(Dtype.FLOAT32));
                Trained none = new Trained(2);
                Decoder decoder = new Decoder(base, none);
                NDManager manager = Torch.newManager()) {
            float[] found = Torch.toFloats(decoder.logProbabilities(manager, decoder.encode(manager, packed), packed));
            List<Double> apart = new ArrayList<>();
            for (JsonElement row : GOLDEN.getAsJsonArray(golden)) {
                for (JsonElement value : row.getAsJsonArray()) {
                    apart.add(Math.abs(value.getAsDouble() - found[apart.size()]));
                }
            }
            assertThat(apart).hasSize(found.length);
            return apart.stream().mapToDouble(Double::doubleValue).sorted().toArray();
        }
    }

    private static double mean(double[] values) {
        double sum = 0;
        for (double value : values) {
            sum += value;
        }
        return sum / values.length;
    }

    /**
     * Both sides find the same codes and scales, so that log-probabilities differ as float32 does. One code of 57,000 that
     * fell the other way would show. One choice of autoawq's search does hang on the order in which attention sums: with
     * another attention kernel autoawq's own result lies 0.024 away. Both of its results are golden, and one of them it is.
     */
    @ParameterizedTest
    @ValueSource(strings = {"gptq", "gptq-3-desc", "awq"})
    void aModelScoresAsWhenTheOriginalsQuantizeIt(String name) {
        Path output = dir.resolve(name);
        List<Integer> done = new ArrayList<>();
        new CalibratedQuantizer(method(name), 20_000).quantize(model, output, rows("texts"), (blocks, all) -> {
            assertThat(all).isEqualTo(2);
            done.add(blocks);
        });
        assertThat(done).containsExactly(1, 2);
        assertThat(output.resolve("tokenizer.json")).exists();
        assertThat(output.resolve("model.safetensors.index.json")).exists();
        assertThat(mean(differences(model, "dense"))).isLessThan(1e-5);
        double ours = mean(differences(output, name));
        assertThat(name.equals("awq") ? Math.min(ours, mean(differences(output, "awq-eager"))) : ours)
                .isLessThan(1e-5);
        assertThat(mean(differences(model, name)))
                .as("that quantization changes anything")
                .isGreaterThan(0.1);
    }

    @ParameterizedTest
    @ValueSource(strings = {"gptq", "awq"})
    void weightsThatSpoilTheTextsAreToldWithTheModel(String name) throws IOException {
        Path damaged = damaged("model.layers.0.mlp.down_proj.weight", 3e38f, 64, 128);
        CalibratedQuantizer quantizer = new CalibratedQuantizer(method(name), 1 << 20);
        assertThatThrownBy(() -> quantizer.quantize(damaged, dir.resolve("output"), rows("texts"), (b, a) -> {}))
                .isInstanceOf(QloraException.class)
                .hasMessageStartingWith(damaged + ": ")
                .hasMessageNotContaining("TorchScript");
        assertThat(dir.resolve("output")).doesNotExist();
    }

    @Test
    void normsAndEmbeddingsOfAnotherShapeAreToldByFileAndTensor() throws IOException {
        CalibratedQuantizer quantizer = new CalibratedQuantizer(method("awq"), 1 << 20);
        for (String name : List.of("model.layers.1.post_attention_layernorm.weight", "model.embed_tokens.weight")) {
            Path damaged = damaged(name, 1, 63);
            assertThatThrownBy(() -> quantizer.quantize(damaged, dir.resolve("output"), rows("texts"), (b, a) -> {}))
                    .isInstanceOf(QloraException.class)
                    .hasMessageStartingWith(damaged.resolve("model.safetensors") + ": tensor " + name)
                    .hasMessageContaining("63");
        }
    }

    /** The model with another tensor in a tensor's place. */
    private Path damaged(String name, float value, long... shape) throws IOException {
        Path damaged = Files.createTempDirectory(dir, "damaged");
        Files.copy(model.resolve("config.json"), damaged.resolve("config.json"));
        Map<String, NDArray> tensors = new TreeMap<>();
        try (ModelDirectory files = ModelDirectory.open(model);
                NDManager manager = Torch.newManager()) {
            for (String tensor : files.names()) {
                tensors.put(tensor, files.read(manager, tensor));
            }
            float[] values = new float[(int) Arrays.stream(shape).reduce(1, (a, b) -> a * b)];
            Arrays.fill(values, value);
            tensors.put(name, Torch.ofFloats(manager, values, shape));
            SafetensorsWriter.writeAll(damaged.resolve("model.safetensors"), Map.of("format", "pt"), tensors);
        }
        return damaged;
    }

    @Test
    void whatCannotBeQuantizedIsSaidAndLeavesNothing() throws IOException {
        Path output = dir.resolve("output");
        CalibratedQuantizer awq = new CalibratedQuantizer(CalibrationMethod.awq(new AwqConfig(48)), 1 << 20);
        assertThatThrownBy(() -> awq.quantize(model, output, rows("texts"), (b, a) -> {}))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("model.layers.0.")
                .hasMessageContaining(" inputs do not fall into groups of 48");
        CalibratedQuantizer gptq = new CalibratedQuantizer(method("gptq"), 1 << 20);
        assertThatThrownBy(() -> gptq.quantize(model, output, List.of(), (b, a) -> {}))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("no calibration texts");
        gptq.quantize(model, output, rows("texts"), (b, a) -> {});
        assertThatThrownBy(() -> gptq.quantize(output, dir.resolve("again"), rows("texts"), (b, a) -> {}))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("quantized already");
        assertThat(Files.list(dir))
                .extracting(p -> p.getFileName().toString())
                .containsExactlyInAnyOrder("model", "output");
    }
}
