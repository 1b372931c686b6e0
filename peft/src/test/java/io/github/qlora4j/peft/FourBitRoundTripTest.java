package io.github.qlora4j.peft;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.KernelChoice;
import io.github.qlora4j.quant.Kernels;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.safetensors.SafetensorsFile;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FourBitRoundTripTest {

    private static final Path GOLDEN = Path.of("src/test/resources/golden");

    @TempDir
    Path dir;

    @Test
    void mergesOntoTheBaseThatBitsandbytesDequantizes() {
        Path base = GOLDEN.resolve("base");
        FourBitRoundTrip nf4 = new FourBitRoundTrip(
                FourBitConfig.DEFAULT, Dtype.BFLOAT16, Dtype.BFLOAT16, Kernels.choose(KernelChoice.BUILTIN));
        try (NDManager manager = Torch.newManager();
                ModelDirectory tensors = ModelDirectory.open(base);
                Adapter adapter = Adapter.load(manager, GOLDEN.resolve("merged/adapter"))) {
            new MergedModel(base, BaseTensors.of(tensors), adapter, Dtype.FLOAT32, nf4).write(dir.resolve("out"));
            try (ModelDirectory merged = ModelDirectory.open(dir.resolve("out"));
                    SafetensorsFile golden = SafetensorsFile.open(GOLDEN.resolve("merged/nf4.safetensors"))) {
                assertThat(golden.tensors()).hasSize(3);
                for (String name : golden.tensors().keySet()) {
                    // the dequantized base is equal to the bit; the products are sums of four float32 terms
                    assertThat(Torch.toFloats(merged.read(manager, name)))
                            .as(name)
                            .containsExactly(Torch.toFloats(golden.read(manager, name)), within(1e-6f));
                }
            }
        }
    }
}
