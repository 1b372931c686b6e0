package io.github.qlora4j.trainer.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.qlora4j.trainer.config.ConfigFile;
import io.github.qlora4j.trainer.config.RunConfig;
import io.github.qlora4j.trainer.model.BaseModel;
import io.github.qlora4j.trainer.model.BaseSetup;
import io.github.qlora4j.trainer.model.ModelConfig;
import io.github.qlora4j.trainer.model.StoredQuantization;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Keys of GPTQConfig and AwqConfig in a run's {@code quantization} section. */
class StoredKeysTest {

    private static final Path GOLDEN = Path.of("src/test/resources/golden");

    private static RunConfig config(String base, String keys) {
        return ConfigFile.parse(
                        "quantization: {" + keys + "}",
                        "test.yaml",
                        List.of("model.path=" + GOLDEN.resolve(base), "data.train=none.json"))
                .config();
    }

    private static StoredQuantization stored(String base, String keys) {
        RunConfig config = config(base, keys);
        Path path = config.model().path();
        return StoredQuantization.of(path, ModelConfig.read(path), BaseSetup.options(config));
    }

    @Test
    void whatTransformersTakes_isAcceptedAndSaidOnceWhatIsUsedInstead() {
        RunConfig config =
                config("grouped/gptq", "quant_method: gptq, bits: 4, use_exllama: true, exllama_config: {version: 2}");
        assertThat(config.quantized()).as("nothing is quantized on loading").isEmpty();
        StoredQuantization stored =
                stored("grouped/gptq", "bits: 4, group_size: 32, use_exllama: true, exllama_config: {version: 2}");
        assertThat(stored.scheme().remarks())
                .singleElement()
                .asString()
                .startsWith("use_exllama, exllama_config are not used: ");
        assertThat(stored("grouped/awq", "do_fuse: true, fuse_max_seq_len: 512, version: gemm, zero_point: true")
                        .scheme()
                        .remarks())
                .singleElement()
                .asString()
                .startsWith("do_fuse, fuse_max_seq_len change nothing: ");
        assertThat(stored("grouped/gptq", "damp_percent: 0.01, desc_act: true, sym: false")
                        .scheme()
                        .remarks())
                .isEmpty();
        BaseModel.load(config.model().path(), BaseSetup.options(config)).close();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "grouped/gptq | bits: 8 | quantization.bits: is 8, and src/test/resources/golden/grouped/gptq is stored with 4",
                "grouped/gptq | quant_method: awq | quantization.quant_method: is awq, and",
                "grouped/gptq | sym: true | quantization.sym: is true, and",
                "grouped/gptq | zero_point: true | is stored with no such key",
                "models/llama-gqa | use_exllama: false | is about a base that is stored by GPTQ or AWQ",
                "checkpoints/nf4-double | bits: 4 | is about a base that is stored by GPTQ or AWQ",
                "grouped/gptq | exllama_config: {version: 3} | quantization.exllama_config.version: expected one of 1, 2",
                "grouped/gptq | backend: fast | quantization.backend: expected one of auto",
                "grouped/gptq | version: gemv | quantization.version: expected",
                "grouped/gptq | load_in_4bit: true, use_exllama: true | quantizes on loading, and keys of GPTQ and AWQ (use_exllama)",
                "grouped/gptq | use_exllama: maybe | quantization.use_exllama: expected true or false",
            })
    void whatDoesNotFit_isAnError(String base, String keys, String message) {
        assertThatThrownBy(() -> stored(base, keys)).hasMessageContaining(message);
    }
}
