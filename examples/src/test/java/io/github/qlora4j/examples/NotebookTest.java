package io.github.qlora4j.examples;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class NotebookTest {

    @TempDir
    Path directory;

    private boolean succeeded;

    private String run(Path notebook) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        succeeded = NotebookRunner.run(notebook, new PrintStream(bytes, true, StandardCharsets.UTF_8));
        return bytes.toString(StandardCharsets.UTF_8);
    }

    private String notebook(String text) throws IOException {
        return run(Files.writeString(directory.resolve("n.jsh"), text));
    }

    @Test
    void quantizeRuns() throws IOException {
        String shown = run(Path.of("notebooks/quantize.jsh"));
        assertThat(succeeded).as(shown).isTrue();
        // 256 bytes of packed codes and 8 floats
        assertThat(shown).contains("> plain.bytes()", " ==> 288");
    }

    @Test
    void loraRuns() throws IOException {
        String shown = run(Path.of("notebooks/lora.jsh"));
        assertThat(succeeded).as(shown).isTrue();
        assertThat(shown).contains(" ==> 640", "adapter_model.safetensors");
    }

    @Test
    void finetuneRuns() throws IOException {
        System.setProperty("steps", "3");
        System.setProperty("quickstart", Path.of("quickstart").toAbsolutePath().toString());
        System.setProperty("output", directory.resolve("run").toString());
        try {
            String shown = run(Path.of("notebooks/finetune.jsh"));
            assertThat(succeeded).as(shown).isTrue();
            assertThat(shown).contains("steps=3, finished=true", "before ==> ", "after ==> ");
        } finally {
            System.clearProperty("steps");
            System.clearProperty("quickstart");
            System.clearProperty("output");
        }
    }

    @Test
    void schemesRuns() throws IOException {
        System.setProperty("quickstart", Path.of("quickstart").toAbsolutePath().toString());
        System.setProperty("output", directory.resolve("schemes").toString());
        try {
            String shown = run(Path.of("notebooks/schemes.jsh"));
            assertThat(succeeded).as(shown).isTrue();
            assertThat(shown)
                    .contains("[28, -12, -101, 28, -73, 19, 56, 127]")
                    .containsPattern("originalText ==> \"The.+")
                    .containsPattern("zeroPointPerplexity ==> [1-9]\\.");
            assertThat(directory.resolve("schemes"))
                    .isDirectoryContaining("glob:**/absmax.png")
                    .isDirectoryContaining("glob:**/zeropoint.png")
                    .isDirectoryContaining("glob:**/blocks.png");
        } finally {
            System.clearProperty("quickstart");
            System.clearProperty("output");
        }
    }

    @Test
    void stopsAtTheLineThatDoesNotCompile() throws IOException {
        String shown = notebook("int a = 1;\n// prose\nint twice(int x) {\n    return x * true;\n}\nint never = 3;\n");
        assertThat(succeeded).isFalse();
        assertThat(shown).contains("n.jsh:4: ").doesNotContain("never");
    }

    @Test
    void stopsAtTheLineThatThrows() throws IOException {
        String shown = notebook("int a = 0;\n\nint b = 5 / a;\nint never = 3;\n");
        assertThat(succeeded).isFalse();
        assertThat(shown)
                .contains("n.jsh:3: java.lang.ArithmeticException: / by zero")
                .doesNotContain("never");
    }

    @Test
    void stopsAtAnUnknownName() throws IOException {
        String shown = notebook("int f() { return missing; }\nint never = 3;\n");
        assertThat(succeeded).isFalse();
        assertThat(shown)
                .contains("n.jsh:1: this snippet cannot be used: variable missing is not known")
                .doesNotContain("never");
    }

    @Test
    void tellsOfASnippetThatDoesNotEnd() throws IOException {
        assertThat(notebook("int a = 0;\nint f() {\n")).contains("n.jsh:2: this snippet does not end");
        assertThat(succeeded).isFalse();
    }
}
