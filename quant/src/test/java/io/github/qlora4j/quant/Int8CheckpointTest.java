package io.github.qlora4j.quant;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.internal.StrictJson;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.safetensors.SafetensorsWriter;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Compares with what transformers 5.23 saved; scripts/golden/int8.py made it. */
class Int8CheckpointTest {

    private static final Path GOLDEN = Path.of("src/test/resources/golden");
    private static final String LAYER = "model.layers.1.mlp.down_proj";

    @TempDir
    private Path dir;

    @Test
    void readsAndWritesTheTensorsOfTransformers() {
        try (NDManager manager = Torch.newManager();
                ModelDirectory theirs = ModelDirectory.open(GOLDEN.resolve("llama-int8"));
                ModelDirectory dense = ModelDirectory.open(GOLDEN.resolve("llama-dense"))) {
            assertThat(Int8Checkpoint.isQuantized(theirs)).isTrue();
            assertThat(Int8Checkpoint.isQuantized(dense)).isFalse();
            int quantized = 0;
            for (String name : dense.names()) {
                if (!Int8Checkpoint.has(theirs, name)) {
                    continue;
                }
                quantized++;
                try (Int8Weight ours = Int8Weight.quantize(dense.read(manager, name), 6);
                        Int8Weight read = Int8Checkpoint.read(theirs, name, 6)) {
                    for (Int8Weight weight : new Int8Weight[] {ours, read}) {
                        Map<String, NDArray> tensors = Int8Checkpoint.tensors(manager, name, weight);
                        assertThat(tensors).hasSize(3);
                        tensors.forEach((part, tensor) -> {
                            NDArray expected = theirs.read(manager, part);
                            assertThat(Torch.shape(tensor)).as(part).isEqualTo(Torch.shape(expected));
                            assertThat(bytes(tensor)).as(part).isEqualTo(bytes(expected));
                        });
                    }
                }
            }
            assertThat(quantized).isEqualTo(14);
            assertThat(theirs.names().stream()
                            .filter(name -> !Int8Checkpoint.isState(name))
                            .toList())
                    .containsExactlyInAnyOrderElementsOf(dense.names());
        }
    }

    @Test
    void theConfigEqualsTransformers() {
        assertThat(Int8Checkpoint.quantizationConfig(6))
                .hasToString(StrictJson.readObject(GOLDEN.resolve("llama-int8/config.json"))
                        .get("quantization_config")
                        .toString());
    }

    @Test
    void aWeightWithoutAFormatIsOneOfRows() {
        try (NDManager manager = Torch.newManager()) {
            Map<String, NDArray> tensors = layer(manager);
            tensors.remove(LAYER + ".weight_format");
            read(tensors);
        }
    }

    @Test
    void aPartThatDoesNotFitIsNamed() {
        try (NDManager manager = Torch.newManager()) {
            expectError(manager, ".SCB", null, "tensor " + LAYER + ".SCB is missing");
            expectError(manager, ".weight", null, "tensor " + LAYER + ".weight is missing");
            expectError(manager, ".SCB", Torch.zeros(manager, Dtype.FLOAT32, 63), "float32 [64] is expected");
            expectError(manager, ".SCB", Torch.zeros(manager, Dtype.FLOAT16, 64), "float32 [64] is expected");
            expectError(manager, ".weight", Torch.zeros(manager, Dtype.FLOAT16, 64, 96), "an int8 matrix is expected");
            expectError(manager, ".weight", Torch.zeros(manager, Dtype.INT8, 64), "an int8 matrix is expected");
            expectError(manager, ".weight", Torch.zeros(manager, Dtype.INT8, 32, 96), "float32 [32] is expected");
            expectError(manager, ".weight_format", Torch.zeros(manager, Dtype.UINT8, 2), "one uint8 is expected");
            NDArray turing = Torch.empty(manager, Dtype.UINT8);
            Torch.bytes(turing, 0, 1).put((byte) 2);
            expectError(manager, ".weight_format", turing, "weight format 2 is not supported; expected 0, rows");
            for (float bad : new float[] {Float.NaN, Float.POSITIVE_INFINITY, -1}) {
                float[] scales = new float[64];
                scales[5] = bad;
                expectError(
                        manager,
                        ".SCB",
                        Torch.ofFloats(manager, scales),
                        "element 5 is " + bad + "; the file is damaged");
            }
        }
    }

    private void expectError(NDManager manager, String part, NDArray instead, String message) {
        Map<String, NDArray> tensors = layer(manager);
        if (instead == null) {
            tensors.remove(LAYER + part);
        } else {
            tensors.put(LAYER + part, instead);
        }
        assertThatThrownBy(() -> read(tensors))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining(LAYER + (message.contains("[32]") ? ".SCB" : part))
                .hasMessageContaining(message);
    }

    private static Map<String, NDArray> layer(NDManager manager) {
        Map<String, NDArray> tensors = new LinkedHashMap<>();
        try (ModelDirectory theirs = ModelDirectory.open(GOLDEN.resolve("llama-int8"))) {
            theirs.names().stream()
                    .filter(name -> name.startsWith(LAYER))
                    .forEach(name -> tensors.put(name, theirs.read(manager, name)));
        }
        return tensors;
    }

    private void read(Map<String, NDArray> tensors) {
        SafetensorsWriter.writeAll(dir.resolve("model.safetensors"), Map.of(), tensors);
        try (ModelDirectory model = ModelDirectory.open(dir)) {
            assertThat(Int8Checkpoint.has(model, LAYER + ".weight")).isTrue();
            Int8Checkpoint.read(model, LAYER + ".weight", 6).close();
        }
    }

    private static byte[] bytes(NDArray tensor) {
        byte[] bytes = new byte[(int) Torch.byteSize(tensor)];
        Torch.bytes(tensor, 0, bytes.length).get(bytes);
        return bytes;
    }
}
