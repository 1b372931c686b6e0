package io.github.qlora4j.quant.internal;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

class UnfinishedTest {
    @TempDir
    Path dir;

    /** A process that writes a directory and a file, finishes another, has a third written, and never ends by itself. */
    static final class Writer {
        private Writer() {}

        /** Begins what the first argument names. */
        public static void main(String[] args) throws Exception {
            Path home = Path.of(args[0]);
            NewDirectory begun = NewDirectory.begin(home.resolve("model"), 0);
            Files.writeString(begun.path().resolve("weights"), "half");
            NewDirectory done = NewDirectory.begin(home.resolve("done"), 0);
            Files.writeString(done.path().resolve("weights"), "whole");
            done.finish();
            Path file = home.resolve("rows.tmp");
            Unfinished.add(file);
            Files.writeString(file, "half");
            Path others = home.resolve("bench.tmp");
            Unfinished.add(others);
            Process writer = new ProcessBuilder(
                            "sh",
                            "-c",
                            "for i in $(seq 200000); do mkdir -p \"$0\"; : > \"$0/$i\"; done",
                            others.toString())
                    .start();
            Unfinished.add(writer);
            while (!Files.exists(others)) {
                Thread.sleep(5);
            }
            System.out.println("begun");
            System.out.flush();
            Thread.sleep(60_000);
        }
    }

    @Test
    @DisabledOnOs(OS.WINDOWS) // a process cannot be asked to end there
    void aProcessThatIsToldToEnd_leavesNothingHalfWritten() throws Exception {
        Process process = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-cp",
                        System.getProperty("java.class.path"),
                        Writer.class.getName(),
                        dir.toString())
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        try {
            assertThat(process.inputReader().readLine()).isEqualTo("begun");
            assertThat(Files.list(dir)).hasSize(4);
            process.destroy();
            assertThat(process.waitFor(60, TimeUnit.SECONDS)).isTrue();
        } finally {
            process.destroyForcibly();
        }
        assertThat(Files.list(dir)).containsExactly(dir.resolve("done"));
        assertThat(dir.resolve("done/weights")).hasContent("whole");
    }
}
