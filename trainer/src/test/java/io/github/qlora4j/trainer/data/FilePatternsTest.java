package io.github.qlora4j.trainer.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.qlora4j.quant.QloraException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FilePatternsTest {

    @TempDir
    Path temp;

    @BeforeEach
    void files() throws IOException {
        for (String name : List.of("b.json", "a.json", "c.jsonl", "sub/d.json", "sub/deep/e.json", "odd[1].json")) {
            Files.createDirectories(temp.resolve(name).getParent());
            Files.createFile(temp.resolve(name));
        }
    }

    @Test
    void globsComeSorted_namesInTheirOrder_eachFileOnce() {
        assertThat(resolve("*.json")).containsExactly("a.json", "b.json", "odd[1].json");
        assertThat(resolve("?.json*")).containsExactly("a.json", "b.json", "c.jsonl");
        assertThat(resolve("{b,c}.*", "a.json", "b.json")).containsExactly("b.json", "c.jsonl", "a.json");
        assertThat(resolve("sub/*.json")).containsExactly("sub/d.json");
        assertThat(resolve("**/*.json")).containsExactly("sub/d.json", "sub/deep/e.json");
        assertThat(resolve("odd[1].json")).containsExactly("odd[1].json");
    }

    @Test
    void relativeGlobsStartAtTheWorkingDirectory() {
        assertThat(FilePatterns.resolve("data.train", List.of("pom.x*"))).containsExactly(Path.of("pom.xml"));
        assertThat(FilePatterns.resolve("data.train", List.of("src/test/resources/golden/tokens/*/rows.jsonl")))
                .hasSize(2);
    }

    @Test
    void whatIsNotThereIsNamedWithTheNearest() {
        assertThatThrownBy(() -> resolve("b.jsno"))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("data.train: no such file: " + temp + "/b.jsno")
                .hasMessageEndingWith(". The nearest names in " + temp + ": b.json, a.json, c.jsonl");
        assertThatThrownBy(() -> resolve("z*.json")).hasMessageContainingAll("z*.json", "nearest", "a.json");
        assertThatThrownBy(() -> resolve("sub/z*.json"))
                .hasMessageEndingWith(". The nearest names in " + temp.resolve("sub") + ": d.json");
        assertThatThrownBy(() -> resolve("a\0*.json")).isInstanceOf(QloraException.class);
        assertThatThrownBy(() -> resolve("nowhere/x.json")).hasMessageContaining("no directory");
        assertThatThrownBy(() -> resolve("nowhere/*.json")).hasMessageContaining("no directory");
        assertThatThrownBy(() -> resolve("sub")).hasMessageContainingAll("is a directory", "*.jsonl");
        assertThatThrownBy(() -> resolve("a{.json"))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("a{.json");
        assertThatThrownBy(() -> resolve("a\0.json")).isInstanceOf(QloraException.class);
        assertThatThrownBy(() -> FilePatterns.resolve("data.train", List.of())).isInstanceOf(QloraException.class);
    }

    @Test
    void longNamesAndGlobs_areToldShort() {
        for (String pattern : List.of("x".repeat(50_002), "x, ".repeat(20_000), "*" + "x, ".repeat(20_000))) {
            assertThatThrownBy(() -> FilePatterns.resolve("data.train", List.of(pattern)))
                    .isInstanceOf(QloraException.class)
                    .satisfies(e -> assertThat(e.getMessage())
                            .startsWith("data.train: ")
                            .hasSizeLessThan(600));
        }
    }

    private List<String> resolve(String... patterns) {
        List<String> absolute =
                List.of(patterns).stream().map(p -> temp + "/" + p).toList();
        return FilePatterns.resolve("data.train", absolute).stream()
                .map(file -> temp.relativize(file).toString().replace('\\', '/'))
                .toList();
    }
}
