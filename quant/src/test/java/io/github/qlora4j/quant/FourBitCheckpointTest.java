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
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Compares with what transformers 5.23 saved; scripts/golden/quant.py made it. */
class FourBitCheckpointTest {

    private static final Path GOLDEN = Path.of("src/test/resources/golden");
    private static final String WEIGHT = "model.layers.1.mlp.down_proj.weight";

    @TempDir
    private Path dir;

    @ParameterizedTest
    @CsvSource({"llama-nf4, NF4, true", "llama-fp4, FP4, false"})
    void readsAndWritesTheTensorsOfTransformers(String saved, QuantType type, boolean doubleQuant) {
        Torch.setThreads(1);
        FourBitConfig config = new FourBitConfig(type, 64, doubleQuant);
        try (NDManager manager = Torch.newManager();
                ModelDirectory theirs = ModelDirectory.open(GOLDEN.resolve(saved));
                ModelDirectory dense = ModelDirectory.open(GOLDEN.resolve("llama-dense"))) {
            assertThat(FourBitCheckpoint.isQuantized(theirs)).isTrue();
            assertThat(FourBitCheckpoint.isQuantized(dense)).isFalse();
            assertThat(FourBitCheckpoint.has(theirs, "lm_head.weight")).isFalse();
            int quantized = 0;
            for (String name : dense.names()) {
                if (!FourBitCheckpoint.has(theirs, name)) {
                    continue;
                }
                quantized++;
                try (FourBitWeight ours =
                                FourBitWeight.quantize(dense.read(manager, name), config, BuiltinKernel.INSTANCE);
                        FourBitWeight read = FourBitCheckpoint.read(theirs, name, BuiltinKernel.INSTANCE)) {
                    assertThat(read.config()).isEqualTo(config);
                    assertThat(read.source()).isEqualTo(Dtype.BFLOAT16);
                    for (FourBitWeight weight : new FourBitWeight[] {ours, read}) {
                        FourBitCheckpoint.tensors(manager, name, weight)
                                .forEach((part, tensor) -> assertThat(bytes(tensor))
                                        .as(part)
                                        .isEqualTo(bytes(theirs.read(manager, part))));
                    }
                }
            }
            assertThat(quantized).isEqualTo(14);
        }
    }

    @Test
    void theConfigEqualsTransformers() {
        assertThat(FourBitCheckpoint.quantizationConfig(FourBitConfig.DEFAULT, Dtype.BFLOAT16))
                .hasToString(StrictJson.readObject(GOLDEN.resolve("llama-nf4/config.json"))
                        .get("quantization_config")
                        .toString());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "absmax | uint8 [96] is expected",
                "nested_absmax | float32 [1] is expected",
                "nested_quant_map | float32 [256] is expected",
                "quant_map | float32 [16] is expected",
                "quant_state.bitsandbytes__nf4 | not valid JSON",
            })
    void aPartThatDoesNotFitIsNamed(String part, String message) {
        assertThatThrownBy(() -> readWith(part))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining(WEIGHT + ".")
                .hasMessageContaining(message);
    }

    private void readWith(String damaged) {
        try (NDManager manager = Torch.newManager();
                ModelDirectory theirs = ModelDirectory.open(GOLDEN.resolve("llama-nf4"))) {
            Map<String, NDArray> tensors = new LinkedHashMap<>();
            theirs.names().stream()
                    .filter(name -> name.startsWith(WEIGHT))
                    .forEach(name -> tensors.put(name, theirs.read(manager, name)));
            tensors.put(WEIGHT + "." + damaged, Torch.zeros(manager, Dtype.UINT8, 3));
            SafetensorsWriter.writeAll(dir.resolve("model.safetensors"), Map.of(), tensors);
        }
        try (ModelDirectory model = ModelDirectory.open(dir)) {
            FourBitCheckpoint.read(model, WEIGHT, BuiltinKernel.INSTANCE).close();
        }
    }

    private static byte[] bytes(NDArray tensor) {
        byte[] bytes = new byte[(int) Torch.byteSize(tensor)];
        Torch.bytes(tensor, 0, bytes.length).get(bytes);
        return bytes;
    }
}
