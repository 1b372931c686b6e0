package io.github.qlora4j.quant.scheme;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FakeQuantizerTest {

    private static final Path DENSE = Path.of("src/test/resources/golden/llama-dense");

    @TempDir
    private Path dir;

    @Test
    void writesAnOrdinaryModelOfWhatIsLeft() throws IOException {
        for (Scheme scheme : SchemeNames.parse("absmax")) {
            Path output = dir.resolve(scheme.granularity().toString());
            Map<String, Fidelity> lost = new FakeQuantizer(scheme).quantize(DENSE, output, n -> n.contains("mlp."));
            assertThat(lost).hasSize(6);
            assertThat(output.resolve("config.json")).hasSameBinaryContentAs(DENSE.resolve("config.json"));
            assertThat(output.resolve("generation_config.json")).exists();
            try (NDManager manager = Torch.newManager();
                    ModelDirectory before = ModelDirectory.open(DENSE);
                    ModelDirectory after = ModelDirectory.open(output)) {
                assertThat(after.names()).containsExactlyElementsOf(before.names());
                for (String name : before.names()) {
                    assertThat(after.info(name).dtype()).isEqualTo(Dtype.BFLOAT16);
                    float[] expected = Torch.toFloats(before.read(manager, name));
                    if (lost.containsKey(name)) {
                        Quantized quantized = scheme.quantize(before.read(manager, name));
                        assertThat(lost.get(name)).isEqualTo(Fidelity.of(expected, quantized));
                        expected = Torch.toFloats(quantized.dequantize(manager, Dtype.BFLOAT16));
                    }
                    assertThat(Torch.toFloats(after.read(manager, name)))
                            .as(name)
                            .isEqualTo(expected);
                }
            }
        }
    }

    /** Norms are vectors, and constant ones: every tensor of a model can go through every scheme. */
    @Test
    void takesEveryTensor() {
        for (Scheme scheme : SchemeNames.standard()) {
            Path output = dir.resolve(scheme.label().replace(':', '-'));
            Map<String, Fidelity> lost = new FakeQuantizer(scheme).quantize(DENSE, output, name -> true);
            assertThat(lost).hasSize(21);
            lost.forEach((name, fidelity) -> assertThat(fidelity.maxError())
                    .as("%s of %s", scheme, name)
                    .isLessThan(name.contains("norm") ? 0.02 : 0.3));
        }
    }

    @Test
    void nothingIsLeftOfWhatCannotBeDone() throws IOException {
        FakeQuantizer nf4 = new FakeQuantizer(SchemeNames.parse("nf4").get(0));
        assertThatThrownBy(() -> nf4.quantize(DENSE, dir.resolve("out"), name -> false))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("none of its 21 tensors");
        assertThatThrownBy(() -> nf4.quantize(DENSE.resolveSibling("llama-nf4"), dir.resolve("out"), name -> true))
                .hasMessageContaining("quantized already");
        assertThat(dir).isEmptyDirectory();
        Files.writeString(dir.resolve("mine"), "x");
        assertThatThrownBy(() -> nf4.quantize(DENSE, dir, name -> true)).hasMessageContaining("not empty");
        assertThat(dir.toFile().list()).containsExactly("mine");
    }
}
