package io.github.qlora4j.quant.bitsandbytes;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import com.sun.jna.Platform;
import io.github.qlora4j.quant.QloraException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class LibrarySearchTest {

    @TempDir
    private Path dir;

    private LibrarySearch search(Map<String, String> settings) {
        return LibrarySearch.search(settings::get, false);
    }

    @Test
    void everyPlaceIsNamedInOrder() {
        LibrarySearch search =
                search(Map.of("BITSANDBYTES_LIBRARY", dir + "/named.so", "QLORA4J_CACHE", dir + "/cache"));
        assertThat(search.attempts().get(0).path()).isEqualTo(dir.resolve("named.so"));
        assertThat(search.attempts().get(0).outcome()).isEqualTo("no such file");
        assertThat(search.attempts().get(1).place()).isEqualTo("cache");
        assertThat(search.attempts().get(1).path().toString()).contains("bitsandbytes", "0.50.2");
        assertThat(search.attempts().get(2).place()).isEqualTo("Python package");
        QloraException missing = search.missing();
        assertThat(missing).hasMessageContaining("named.so").hasMessageContaining("scripts/install-bitsandbytes");
    }

    @Test
    void aFileThatIsNoLibraryOrIsCutIsReportedNotLoaded() throws IOException {
        assumeThat(Platform.isLinux()).isTrue();
        Path file = dir.resolve("lib.so");
        Files.writeString(file, "not a library");
        assertThat(NativeFile.problem(file)).contains("not a 64-bit ELF");
        byte[] whole = Files.readAllBytes(Path.of(System.getProperty("java.home"), "lib", "libjava.so"));
        Files.write(file, whole);
        assertThat(NativeFile.problem(file)).isNull();
        for (int length : new int[] {0, 63, 64, 4096, whole.length / 2, whole.length - 1}) {
            Files.write(file, Arrays.copyOf(whole, length));
            assertThat(NativeFile.problem(file)).as("cut to %d bytes", length).isNotNull();
        }
        Files.write(file, whole);
        whole[18] = 3; // another machine
        Files.write(file, whole);
        assertThat(NativeFile.problem(file)).contains("another CPU");
    }
}
