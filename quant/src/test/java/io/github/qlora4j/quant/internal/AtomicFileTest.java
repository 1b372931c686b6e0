package io.github.qlora4j.quant.internal;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

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
}
