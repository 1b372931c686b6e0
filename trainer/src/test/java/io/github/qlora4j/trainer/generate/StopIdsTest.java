package io.github.qlora4j.trainer.generate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.qlora4j.quant.QloraException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class StopIdsTest {

    @TempDir
    private Path dir;

    @Test
    void generationsIdsGoBeforeTheModels() throws IOException {
        assertThat(StopIds.of(dir)).isEmpty();
        Files.writeString(dir.resolve("config.json"), "{\"eos_token_id\": 2}");
        assertThat(StopIds.of(dir)).containsExactly(2);
        Path generation = dir.resolve("generation_config.json");
        for (String none : new String[] {"{}", "{\"eos_token_id\": null}", "{\"eos_token_id\": []}"}) {
            Files.writeString(generation, none);
            assertThat(StopIds.of(dir)).as(none).containsExactly(2);
        }
        Files.writeString(generation, "{\"eos_token_id\": [9, 4]}");
        assertThat(StopIds.of(dir)).containsExactly(4, 9);
    }

    @ParameterizedTest
    @ValueSource(strings = {"\"</s>\"", "1.5", "99999999999", "{}", "[[1]]", "[true]"})
    void whatIsNoIdIsRefused(String value) throws IOException {
        Path file = Files.writeString(dir.resolve("config.json"), "{\"eos_token_id\": " + value + "}");
        assertThatThrownBy(() -> StopIds.of(dir))
                .isInstanceOf(QloraException.class)
                .hasMessageStartingWith(file + ": eos_token_id: expected a token id or a list of them, found ");
    }
}
