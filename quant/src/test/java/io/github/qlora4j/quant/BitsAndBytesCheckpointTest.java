package io.github.qlora4j.quant;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.safetensors.SafetensorsWriter;
import io.github.qlora4j.quant.torch.Torch;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Directories as transformers saved them, read by what their tensors say. */
class BitsAndBytesCheckpointTest {

    private static final Path GOLDEN = Path.of("src/test/resources/golden");
    private static final BitsAndBytesCheckpoint SCHEME =
            new BitsAndBytesCheckpoint(() -> BuiltinKernel.INSTANCE, Int8Weight.DEFAULT_THRESHOLD);

    @TempDir
    private Path dir;

    private static String parameter(ModelDirectory model, String tensor) {
        return SCHEME.moduleOf(model, tensor).map(module -> module + ".weight").orElse(tensor);
    }

    @ParameterizedTest
    @CsvSource({"llama-nf4, nf4", "llama-fp4, fp4", "llama-int8, int8"})
    void partsBelongToTheParametersOfTheDenseModel(String name, String scheme) {
        try (ModelDirectory dense = ModelDirectory.open(GOLDEN.resolve("llama-dense"));
                ModelDirectory model = ModelDirectory.open(GOLDEN.resolve(name))) {
            assertThat(model.names().stream()
                            .map(tensor -> parameter(model, tensor))
                            .collect(Collectors.toSet()))
                    .containsExactlyInAnyOrderElementsOf(dense.names());
            assertThat(SCHEME.isIn(model)).isTrue();
            assertThat(SCHEME.isIn(dense)).isFalse();
            List<String> modules = model.names().stream()
                    .flatMap(tensor -> SCHEME.moduleOf(model, tensor).stream())
                    .distinct()
                    .toList();
            assertThat(modules).allMatch(module -> module.endsWith("_proj")).isNotEmpty();
            for (String module : modules) {
                assertThat(SCHEME.has(model, module)).as(module).isTrue();
                assertThat(SCHEME.has(dense, module)).as(module).isFalse();
                try (LinearWeight weight = SCHEME.read(model, module)) {
                    assertThat(weight.scheme()).isEqualTo(scheme);
                }
            }
        }
    }

    @Test
    void partsWithoutTheirStateAreNoWeight() {
        Map<String, NDArray> tensors = new HashMap<>();
        try (NDManager manager = Torch.newManager();
                ModelDirectory model = ModelDirectory.open(GOLDEN.resolve("llama-nf4"))) {
            model.names().stream()
                    .filter(tensor -> !tensor.contains("layers.0.mlp.up_proj.weight.quant_state"))
                    .forEach(tensor -> tensors.put(tensor, model.read(manager, tensor)));
            SafetensorsWriter.writeAll(dir.resolve("model.safetensors"), Map.of(), tensors);
        }
        try (ModelDirectory damaged = ModelDirectory.open(dir)) {
            assertThat(SCHEME.moduleOf(damaged, "model.layers.0.mlp.up_proj.weight.absmax"))
                    .contains("model.layers.0.mlp.up_proj");
            assertThatThrownBy(() -> SCHEME.read(damaged, "model.layers.0.mlp.up_proj"))
                    .hasMessageContaining("model.layers.0.mlp.up_proj.weight is not stored in four bits");
        }
    }
}
