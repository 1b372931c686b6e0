package io.github.qlora4j.quant.internal;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FileNamesTest {

    @TempDir
    private Path dir;

    @Test
    void theLongestName_isStillOne() throws Exception {
        String longest = "x".repeat(255);
        Files.createFile(dir.resolve(longest));
        assertThat(FileNames.tooLong(dir + "/" + longest)).isEmpty();
        assertThat(FileNames.tooLong(longest + "/" + longest)).isEmpty();
    }

    @Test
    void aLongerName_isToldInALine() {
        assertThat(FileNames.tooLong("models/" + "x".repeat(256) + "/y").orElseThrow())
                .isEqualTo("the name of a file or directory has at most 255 characters; got 256, \"" + "x".repeat(60)
                        + "…\"");
        // no half of a surrogate pair
        assertThat(FileNames.tooLong("😀".repeat(200)).orElseThrow()).endsWith("\"" + "😀".repeat(60) + "…\"");
    }

    @Test
    void aLongPathOfShortNames_isToldToo() {
        assertThat(FileNames.tooLong("a/".repeat(30_000)).orElseThrow())
                .startsWith("a path has at most ")
                .contains("got 60000, \"a/a/")
                .hasSizeLessThan(160);
    }

    @Test
    void lettersThatTheLocaleDoesNotHave_areToldWithARemedy() {
        String java = "Malformed input or input contains unmappable characters";
        assertThat(FileNames.reason(new InvalidPathException("Gr\uFFFDe", java)))
                .contains("LC_ALL=C.UTF-8");
        assertThat(FileNames.reason(new InvalidPathException("a", "Nul character not allowed")))
                .isEqualTo("Nul character not allowed");
    }
}
