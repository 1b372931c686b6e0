package io.github.qlora4j.quant;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.internal.StrictJson;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ModelQuantizerTest {

    private static final Path GOLDEN = Path.of("src/test/resources/golden");
    private static final ModelQuantizer NF4 =
            new ModelQuantizer(FourBitConfig.DEFAULT, Dtype.BFLOAT16, BuiltinKernel.INSTANCE, 1 << 30);

    @TempDir
    private Path dir;

    private static boolean linear(String name) {
        return name.endsWith("_proj.weight");
    }

    @Test
    void givesTheFilesOfTransformers() throws IOException {
        Torch.setThreads(1);
        NF4.quantize(GOLDEN.resolve("llama-dense"), dir.resolve("out"), ModelQuantizerTest::linear);
        assertThat(dir.toFile().list()).containsExactly("out");
        assertThat(dir.resolve("out/model.safetensors"))
                .hasSameBinaryContentAs(GOLDEN.resolve("llama-nf4/model.safetensors"));
        assertThat(StrictJson.readObject(dir.resolve("out/config.json")))
                .hasToString(StrictJson.readObject(GOLDEN.resolve("llama-nf4/config.json"))
                        .toString());
        assertThat(dir.resolve("out/generation_config.json")).exists();
    }

    @Test
    void inInt8_givesTheFilesOfTransformers() {
        new ModelQuantizer(new Int8Scheme(6), 1 << 30)
                .quantize(GOLDEN.resolve("llama-dense"), dir.resolve("out"), ModelQuantizerTest::linear);
        assertThat(dir.resolve("out/model.safetensors"))
                .hasSameBinaryContentAs(GOLDEN.resolve("llama-int8/model.safetensors"));
        assertThat(StrictJson.readObject(dir.resolve("out/config.json")))
                .hasToString(StrictJson.readObject(GOLDEN.resolve("llama-int8/config.json"))
                        .toString());
        assertThatThrownBy(() -> NF4.quantize(dir.resolve("out"), dir.resolve("again"), ModelQuantizerTest::linear))
                .hasMessageContaining("quantized already");
    }

    @Test
    void shardsHoldTheSameTensors() {
        Torch.setThreads(1);
        FourBitConfig config = new FourBitConfig(QuantType.FP4, 64, false);
        new ModelQuantizer(config, Dtype.BFLOAT16, BuiltinKernel.INSTANCE, 20_000)
                .quantize(GOLDEN.resolve("llama-dense"), dir.resolve("out"), ModelQuantizerTest::linear);
        assertThat(dir.resolve("out/model.safetensors.index.json")).exists();
        try (NDManager manager = Torch.newManager();
                ModelDirectory theirs = ModelDirectory.open(GOLDEN.resolve("llama-fp4"));
                ModelDirectory ours = ModelDirectory.open(dir.resolve("out"))) {
            assertThat(ours.names()).containsExactlyInAnyOrderElementsOf(theirs.names());
            for (String name : ours.names()) {
                NDArray expected = theirs.read(manager, name);
                assertThat(GoldenInputs.sha256(Torch.bytes(ours.read(manager, name), 0, Torch.byteSize(expected))))
                        .as(name)
                        .isEqualTo(GoldenInputs.sha256(Torch.bytes(expected, 0, Torch.byteSize(expected))));
            }
        }
    }

    @Test
    void nothingIsLeftOfWhatCannotBeDone() throws IOException {
        Path dense = GOLDEN.resolve("llama-dense");
        assertThatThrownBy(() -> NF4.quantize(dense, dir.resolve("out"), name -> name.endsWith("norm.weight")))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("input_layernorm.weight");
        assertThatThrownBy(() -> NF4.quantize(dense, dir.resolve("out"), name -> false))
                .hasMessageContaining("none of its 21 tensors");
        assertThatThrownBy(
                        () -> NF4.quantize(GOLDEN.resolve("llama-nf4"), dir.resolve("out"), ModelQuantizerTest::linear))
                .hasMessageContaining("quantized already");
        assertThat(dir).isEmptyDirectory();
        Files.writeString(dir.resolve("mine"), "x");
        assertThatThrownBy(() -> NF4.quantize(dense, dir, ModelQuantizerTest::linear))
                .hasMessageContaining("not empty");
        assertThat(dir.toFile().list()).containsExactly("mine");
    }
}
