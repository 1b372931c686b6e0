package io.github.qlora4j.trainer.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.qlora4j.peft.LoraConfig;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.trainer.model.ModelConfig;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class AdapterSetupTest {

    @TempDir
    Path dir;

    private ModelConfig config(String dropout) throws IOException {
        String json = Files.readString(Path.of("src/test/resources/golden/models/llama/config.json"));
        assertThat(json).contains("\"attention_dropout\": 0.0");
        Files.writeString(
                dir.resolve("config.json"),
                json.replace("\"attention_dropout\": 0.0", "\"attention_dropout\": " + dropout));
        return ModelConfig.read(dir);
    }

    @Test
    void refusesToTrainWithoutTheDropoutThatTheBaseAsksFor() throws IOException {
        LoraConfig lora = LoraConfig.builder().build();
        assertThatThrownBy(() -> AdapterSetup.plan(lora, config("0.1")))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("attention_dropout: expected 0.0, got 0.1")
                .hasMessageContaining("lora.lora_dropout");
        assertThat(AdapterSetup.plan(lora, config("0")).targets()).hasSize(4);
        assertThat(AdapterSetup.plan(lora, config("null")).targets()).hasSize(4);
    }
}
