package io.github.qlora4j.trainer.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assumptions.assumeThat;

import io.github.qlora4j.quant.QloraException;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RunDirectoryTest {

    @TempDir
    Path temp;

    /** Another process that tries to take the lock. */
    static final class Other {
        public static void main(String[] args) throws IOException {
            try (FileChannel channel = FileChannel.open(Path.of(args[0], ".lock"), StandardOpenOption.WRITE)) {
                System.exit(channel.tryLock() == null ? 3 : 4);
            }
        }
    }

    private boolean anotherProcessIsToldOff() throws IOException, InterruptedException {
        int code = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-cp",
                        Path.of("target", "test-classes").toString(),
                        Other.class.getName(),
                        temp.toString())
                .inheritIO()
                .start()
                .waitFor();
        assertThat(code).isIn(3, 4);
        return code == 3;
    }

    @Test
    void aSecondRunOfThisJvmIsToldOffAndLeavesTheLockToTheFirst() throws IOException, InterruptedException {
        try (RunDirectory first = RunDirectory.take(temp)) {
            assertThatThrownBy(() -> RunDirectory.take(temp.resolve(".")))
                    .isInstanceOf(QloraException.class)
                    .hasMessageContaining("another run is writing to");
            assertThat(anotherProcessIsToldOff())
                    .as("the lock of %s still stands", first.path())
                    .isTrue();
        }
        assertThat(anotherProcessIsToldOff()).isFalse();
        RunDirectory.take(temp).close();
    }

    @Test
    void aLinkToAHeldDirectoryIsHeld() throws IOException {
        Path real = Files.createDirectory(temp.resolve("real"));
        Path link = temp.resolve("link");
        try {
            Files.createSymbolicLink(link, real);
        } catch (IOException | UnsupportedOperationException e) {
            assumeThat(e).as("links can be made here").isNull();
        }
        try (RunDirectory first = RunDirectory.take(real)) {
            assertThatThrownBy(() -> RunDirectory.take(link)).hasMessageContaining("another run");
            assertThat(first.path()).isEqualTo(real);
        }
    }

    @Test
    void leftOversOfAKilledRunGoAndForeignFilesStay() throws IOException {
        for (String name : new String[] {
            "adapter_model.safetensors.tmp", "optimizer-123.pages", "qlora.yaml.tmp", "notes.tmp", "optimizer.pages"
        }) {
            Files.writeString(temp.resolve(name), "x");
        }
        Files.createDirectories(temp.resolve("checkpoint-7.tmp"));
        Files.createDirectories(temp.resolve("checkpoint-7.old"));
        try (RunDirectory directory = RunDirectory.take(temp)) {
            directory.clearLeftOvers();
        }
        assertThat(temp.toFile().list()).containsExactlyInAnyOrder(".lock", "notes.tmp", "optimizer.pages");
    }

    @Test
    void aLinkInPlaceOfACheckpointIsDeletedAndWhatItPointsToStays() throws IOException {
        Path outside = Files.createDirectory(temp.resolve("outside"));
        Files.writeString(outside.resolve("precious"), "x");
        Path run = Files.createDirectory(temp.resolve("run"));
        Files.createSymbolicLink(run.resolve("checkpoint-3"), outside);
        Files.createSymbolicLink(run.resolve("checkpoint-4.tmp"), outside);
        try (RunDirectory directory = RunDirectory.take(run)) {
            directory.clear();
        }
        assertThat(outside.resolve("precious")).exists();
        assertThat(run.toFile().list()).containsExactly(".lock");
    }
}
