package io.github.qlora4j.trainer.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.QuantType;
import io.github.qlora4j.quant.safetensors.SafetensorsFile;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.trainer.data.Dataset;
import io.github.qlora4j.trainer.data.Example;
import io.github.qlora4j.trainer.generate.LanguageModel;
import io.github.qlora4j.trainer.generate.ModelSource;
import io.github.qlora4j.trainer.generate.Prompt;
import io.github.qlora4j.trainer.generate.Sampling;
import io.github.qlora4j.trainer.train.Evaluation;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A NaN in the weights ends what is computed from them, in an error that names the tensor. */
class NotFiniteTest {

    @TempDir
    Path temp;

    private Path damaged(String tensor) throws IOException {
        Path model = Golden.model("llama");
        for (String name : List.of("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")) {
            Files.copy(model.resolve(name), temp.resolve(name));
        }
        long offset;
        try (SafetensorsFile file = SafetensorsFile.open(temp.resolve("model.safetensors"))) {
            offset = file.info(tensor).offset();
        }
        try (RandomAccessFile file =
                new RandomAccessFile(temp.resolve("model.safetensors").toFile(), "rw")) {
            file.seek(offset + 2);
            file.write(new byte[] {(byte) 0xC0, 0x7F});
        }
        return temp;
    }

    @ParameterizedTest
    @ValueSource(strings = {"model.norm.weight", "lm_head.weight", "model.layers.1.mlp.up_proj.weight"})
    void theTensorIsNamed(String tensor) throws IOException {
        Path model = damaged(tensor);
        try (LanguageModel language = LanguageModel.open(ModelSource.ofModel(model))) {
            assertThat(language.decoder().whyNotFinite()).startsWith(model + ": tensor " + tensor + " holds NaN");
            assertThatThrownBy(
                            () -> language.generate(new Prompt.Tokens(new int[] {5, 6}), Sampling.GREEDY, 2, t -> {}))
                    .isInstanceOf(QloraException.class)
                    .hasMessageContaining(tensor);
            Dataset rows = Dataset.of(List.of(new Example(new int[] {5, 6, 7}, new int[] {5, 6, 7})));
            assertThatThrownBy(() -> Evaluation.of(language.decoder(), rows, 1))
                    .isInstanceOf(QloraException.class)
                    .hasMessageContaining(tensor);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"model.layers.1.mlp.up_proj.weight"})
    void itIsNotQuantized(String tensor) throws IOException {
        Path model = damaged(tensor);
        BaseOptions options = BaseOptions.fourBit(new FourBitConfig(QuantType.NF4, 64, true), Dtype.FLOAT32);
        assertThatThrownBy(() -> BaseModel.load(model, options))
                .isInstanceOf(QloraException.class)
                .hasMessageStartingWith(model.resolve("model.safetensors") + ": tensor " + tensor + ": ");
    }
}
