package io.github.qlora4j.trainer.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.qlora4j.quant.QloraException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What is wrong in a {@code config.json} is told by file and key, before anything of its sizes is made. */
class DamagedConfigTest {

    @TempDir
    Path temp;

    private Path written(String from, String to) throws IOException {
        String whole = Files.readString(Golden.model("llama").resolve("config.json"));
        assertThat(whole).contains(from);
        return Files.writeString(temp.resolve("config.json"), whole.replace(from, to))
                .getParent();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "num_hidden_layers|2|2147483647",
                "num_hidden_layers|2|1e999999999",
                "num_hidden_layers|2|-1",
                "num_hidden_layers|2|2.5",
                "num_hidden_layers|2|\"2\"",
                "vocab_size|264|2147483647",
                "hidden_size|64|1048577",
                "intermediate_size|128|9223372036854775808",
                "num_attention_heads|4|65536",
                "head_dim|16|1000000",
                "rms_norm_eps|1e-06|1e400",
                "tie_word_embeddings|false|0",
            })
    void aValueThatNoModelHasIsRefused(String key, String value, String other) throws IOException {
        Path model = written("\"" + key + "\": " + value, "\"" + key + "\": " + other);
        assertThatThrownBy(() -> ModelConfig.read(model))
                .isInstanceOf(QloraException.class)
                .hasMessageStartingWith(model.resolve("config.json") + ": " + key + ": expected ")
                .hasMessageNotContaining("\n");
    }

    @Test
    void aKeyThatStandsTwiceIsRefused_asTwoProgramsWouldReadTwoModels() throws IOException {
        Path model = written("\"hidden_size\": 64", "\"hidden_size\": 64, \"hidden_size\": 32");
        assertThatThrownBy(() -> ModelConfig.read(model))
                .isInstanceOf(QloraException.class)
                .hasMessageContainingAll("config.json", "hidden_size", "twice");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "bnb_4bit_quant_type|\"int4\"",
                "bnb_4bit_compute_dtype|\"float99\"",
                "bnb_4bit_compute_dtype|\"int8\"",
            })
    void aStoredSchemeThatIsNotKnownIsNamedByFileAndKey(String key, String value) throws IOException {
        Path model = written(
                "\"vocab_size\"",
                "\"quantization_config\": {\"quant_method\": \"bitsandbytes\", \"load_in_4bit\": true, \"" + key
                        + "\": " + value + "}, \"vocab_size\"");
        assertThatThrownBy(() -> BaseModel.load(model, BaseOptions.unquantized()))
                .isInstanceOf(QloraException.class)
                .hasMessageStartingWith(model.resolve("config.json") + ": quantization_config." + key + ": ");
    }
}
