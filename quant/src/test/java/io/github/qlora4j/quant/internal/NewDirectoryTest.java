package io.github.qlora4j.quant.internal;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.qlora4j.quant.QloraException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class NewDirectoryTest {

    @TempDir
    private Path home;

    @Test
    void bringsAlongWhatBelongsToAModelAndNothingThatSpeaksOfItsWeights() throws IOException {
        Path model = Files.createDirectory(home.resolve("model"));
        List<String> along = List.of(
                "tokenizer.json",
                "generation_config.json",
                "chat_template.jinja",
                "merges.txt",
                "tokenizer.model",
                "LICENSE.txt",
                "NOTICE",
                "modeling_llama.py");
        for (String name : along) {
            Files.writeString(model.resolve(name), name);
        }
        for (String name : List.of(
                "config.json",
                "model.safetensors",
                "model.safetensors.index.json",
                "adapter_config.json",
                "quantize_config.json",
                "quant_config.json",
                ".hidden.json")) {
            Files.writeString(model.resolve(name), name);
        }
        Files.createDirectory(model.resolve("onnx.json"));

        try (NewDirectory made = NewDirectory.begin(home.resolve("out"), 0)) {
            made.copyOthers(model);
            made.finish();
        }

        assertThat(home.resolve("out").toFile().list()).containsExactlyInAnyOrderElementsOf(along);
        assertThat(home.toFile().list()).containsExactlyInAnyOrder("model", "out");
    }

    @Test
    void takesAnEmptyDirectorysPlaceAndLeavesAFullOneAlone() throws IOException {
        Path output = Files.createDirectory(home.resolve("out"));
        try (NewDirectory made = NewDirectory.begin(output, 0)) {
            Files.writeString(made.path().resolve("config.json"), "{}");
            made.finish();
        }
        assertThat(output.resolve("config.json")).hasContent("{}");

        assertThatThrownBy(() -> NewDirectory.begin(output, 0))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining(output.toString())
                .hasMessageContaining("not empty");
        assertThat(home.toFile().list()).containsExactly("out");
    }

    @Test
    void leavesNothingOfWhatWasNotFinished() throws IOException {
        try (NewDirectory made = NewDirectory.begin(home.resolve("out"), 0)) {
            Files.writeString(made.path().resolve("config.json"), "{}");
        }
        assertThat(home).isEmptyDirectory();
    }

    @Test
    void needsRoomOnTheDiskBeforeItBegins() {
        assertThatThrownBy(() -> NewDirectory.begin(home.resolve("out"), Long.MAX_VALUE))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("the disk has room for");
        assertThat(home).isEmptyDirectory();
    }
}
