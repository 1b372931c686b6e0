package io.github.qlora4j.quant.internal;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.qlora4j.quant.QloraException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class AtomicFileTest {

    @TempDir
    Path dir;

    @Test
    void replacesAFileAndLeavesNothingBeside() throws IOException {
        Path file = dir.resolve("card.md");
        Files.writeString(file, "old and longer");
        AtomicFile.write(file, out -> out.write("new".getBytes(java.nio.charset.StandardCharsets.UTF_8)));
        assertThat(file).hasContent("new");
        assertThat(dir.toFile().list()).containsExactly("card.md");
    }

    @Test
    void whatFailsHalfwayLeavesTheFileAsItWas() throws IOException {
        Path file = dir.resolve("card.md");
        Files.writeString(file, "old");
        assertThatThrownBy(() -> AtomicFile.write(file, out -> {
                    out.write(new byte[100_000]);
                    throw new IOException("No space left on device");
                }))
                .hasMessageContaining("No space left");
        assertThat(file).hasContent("old");
        assertThat(dir.toFile().list()).containsExactly("card.md");
    }

    @Test
    void aDirectoryThatIsGoneIsTheErrorItself() {
        assertThatThrownBy(() -> AtomicFile.write(dir.resolve("gone").resolve("card.md"), out -> out.write(1)))
                .isInstanceOf(java.nio.file.NoSuchFileException.class);
    }

    @Test
    void textIsWrittenAsUtf8_andWhereItCannotBeSaysSo() {
        AtomicFile.writeText(dir.resolve("card.md"), "ä 🙂");
        assertThat(dir.resolve("card.md")).hasContent("ä 🙂");
        Path gone = dir.resolve("gone").resolve("card.md");
        assertThatThrownBy(() -> AtomicFile.writeText(gone, "x"))
                .isInstanceOf(QloraException.class)
                .hasMessage("Cannot write " + gone + ": no such file or directory. Check free space and permissions.");
    }
}
