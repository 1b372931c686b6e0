package io.github.qlora4j.trainer.optim;

import static org.assertj.core.api.Assertions.assertThat;

import ai.djl.ndarray.NDManager;
import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.config.OptimizerName;
import java.nio.file.Path;
import java.util.Base64;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@ExtendWith(OneThread.class)
class AdamWGoldenTest {

    @TempDir
    Path directory;

    @ParameterizedTest
    @CsvSource({
        "ADAMW_TORCH, adamw_torch, FLOAT32",
        "ADAMW_TORCH, adamw_torch_bf16, BFLOAT16",
        "PAGED_ADAMW_32BIT, paged_adamw_32bit, FLOAT32",
        "PAGED_ADAMW_32BIT, paged_adamw_32bit_bf16, BFLOAT16",
        "ADAMW_8BIT, adamw_8bit, FLOAT32",
        "ADAMW_8BIT, adamw_8bit_bf16, BFLOAT16",
        "PAGED_ADAMW_8BIT, adamw_8bit, FLOAT32",
        "PAGED_ADAMW_8BIT, adamw_8bit_bf16, BFLOAT16",
        "ADAMW_TORCH, adamw_torch_other, FLOAT32",
        "PAGED_ADAMW_32BIT, paged_adamw_32bit_other, FLOAT32",
        "ADAMW_8BIT, adamw_8bit_other, FLOAT32",
        "PAGED_ADAMW_8BIT, adamw_8bit_other, FLOAT32",
    })
    void equalsPythonByteForByteOverTwentyUpdates(OptimizerName name, String file, Dtype dtype) {
        JsonObject golden = Golden.read(file);
        JsonArray updates = golden.getAsJsonArray("updates");
        OptimizerConfig usual = OptimizerConfig.of(name).withPages(directory, 1 << 20);
        OptimizerConfig config =
                file.endsWith("_other") ? usual.withBetas(0.8, 0.95).withEps(1e-5) : usual.withWeightDecay(0.01);
        try (NDManager manager = Torch.newManager();
                Optimizer optimizer = Optimizer.create(config, Golden.parameters(manager, dtype))) {
            for (int k = 0; k < Golden.UPDATES; k++) {
                try (NDManager step = Torch.newManager()) {
                    optimizer.step(Golden.gradients(step, k), Golden.rate(k));
                }
                Map<String, String> expected = new HashMap<>();
                updates.get(k)
                        .getAsJsonObject()
                        .entrySet()
                        .forEach(e -> expected.put(e.getKey(), e.getValue().getAsString()));
                assertThat(SavedState.hashes(optimizer, directory))
                        .as("update " + (k + 1))
                        .isEqualTo(expected);
            }
            Map<String, byte[]> own = SavedState.of(optimizer, directory);
            golden.getAsJsonObject("last")
                    .entrySet()
                    .forEach(e -> assertThat(own.get(e.getKey()))
                            .as(e.getKey())
                            .isEqualTo(Base64.getDecoder().decode(e.getValue().getAsString())));
        }
    }
}
