package io.github.qlora4j.quant.internal;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.qlora4j.quant.QloraException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

class NewDirectoryTest {

    @TempDir
    Path dir;

    @Test
    void standsInItsPlaceWhenItIsWhole_andNotBefore() throws IOException {
        Path output = dir.resolve("a/b/model");
        try (NewDirectory made = NewDirectory.begin(output, 3)) {
            Files.writeString(made.path().resolve("weights"), "all");
            assertThat(output).doesNotExist();
            assertThat(made.path()).hasParent(output.getParent());
            made.finish();
        }
        assertThat(output.resolve("weights")).hasContent("all");
        assertThat(output.getParent().toFile().list()).containsExactly("model");
    }

    @Test
    void takesThePlaceOfAnEmptyDirectory() throws IOException {
        Path output = Files.createDirectory(dir.resolve("model"));
        try (NewDirectory made = NewDirectory.begin(output, 0)) {
            Files.writeString(made.path().resolve("weights"), "all");
            made.finish();
        }
        assertThat(output.resolve("weights")).hasContent("all");
    }

    @Test
    void ofWhatIsNotFinishedNothingIsLeft() throws IOException {
        Path output = dir.resolve("model");
        try (NewDirectory made = NewDirectory.begin(output, 0)) {
            Files.createDirectories(made.path().resolve("deep/deeper"));
            Files.writeString(made.path().resolve("deep/deeper/weights"), "half");
        }
        assertThat(dir).isEmptyDirectory();
    }

    @Test
    void whatIsThereAlreadyIsNotTouched() throws IOException {
        Path full = Files.createDirectory(dir.resolve("full"));
        Path file = Files.writeString(full.resolve("mine"), "x");
        refused(full, 0, full + ": the directory is not empty; name another, or remove it");
        refused(file, 0, file + ": this is a file; a directory was expected");
        refused(file.resolve("model"), 0, file + ": this is a file; a directory was expected");
        refused(dir.resolve("model"), Long.MAX_VALUE, dir + ": " + Long.MAX_VALUE + " bytes are needed, the disk has");
        assertThat(dir.toFile().list()).containsExactly("full");
        assertThat(file).hasContent("x");
    }

    private static void refused(Path output, long bytes, String message) {
        assertThatThrownBy(() -> NewDirectory.begin(output, bytes))
                .isInstanceOf(QloraException.class)
                .hasMessageStartingWith(message);
    }

    @Test
    void bringsAlongWhatDescribesAModel_notItsWeights() throws IOException {
        Path model = Files.createDirectory(dir.resolve("old"));
        for (String name : List.of(
                "config.json",
                "model.safetensors",
                "model.safetensors.index.json",
                "pytorch_model.bin",
                "tokenizer.json",
                "tokenizer.model",
                "chat_template.jinja",
                "merges.txt",
                "qwen.tiktoken",
                "LICENSE.md",
                "NOTICE",
                "modeling_llama.py",
                "README.md",
                "adapter_config.json",
                "quantize_config.json",
                "quant_config.json",
                ".hidden.json")) {
            Files.writeString(model.resolve(name), name);
        }
        Files.createDirectory(model.resolve("folder.json"));
        try (NewDirectory made = NewDirectory.begin(dir.resolve("new"), 0)) {
            made.copyOthers(model);
            made.finish();
        }
        assertThat(dir.resolve("new").toFile().list())
                .containsExactlyInAnyOrder(
                        "tokenizer.json",
                        "tokenizer.model",
                        "chat_template.jinja",
                        "merges.txt",
                        "qwen.tiktoken",
                        "LICENSE.md",
                        "NOTICE",
                        "modeling_llama.py");
        assertThat(dir.resolve("new/merges.txt")).hasContent("merges.txt");
    }

    @Test
    @DisabledOnOs(OS.WINDOWS) // links need a privilege there
    void aTreeIsDeletedWithItsLinks_notWhatIsBehindThem() throws IOException {
        Path kept = Files.createDirectory(dir.resolve("kept"));
        Files.writeString(kept.resolve("mine"), "x");
        Path tree = Files.createDirectories(dir.resolve("tree/deep"));
        Files.createSymbolicLink(tree.resolve("link"), kept);
        Files.createSymbolicLink(tree.resolve("nowhere"), dir.resolve("gone"));
        Files.writeString(tree.resolve("file"), "x");
        FileTree.delete(dir.resolve("tree"));
        Path link = Files.createSymbolicLink(dir.resolve("link"), dir.resolve("gone"));
        FileTree.delete(link);
        FileTree.delete(dir.resolve("gone"));
        assertThat(dir.toFile().list()).containsExactly("kept");
        assertThat(kept.resolve("mine")).hasContent("x");
    }

    @Test
    void whatIsUnfinishedIsDeletedWhole_andWhatIsGoneIsNoTrouble() throws IOException {
        Path tree = Files.createDirectories(dir.resolve("tree/deep"));
        Files.writeString(tree.resolve("file"), "x");
        Unfinished.delete(dir.resolve("tree"));
        Unfinished.delete(dir.resolve("tree"));
        assertThat(dir).isEmptyDirectory();
        assertThat(Unfinished.isEnding()).isFalse();
    }
}
