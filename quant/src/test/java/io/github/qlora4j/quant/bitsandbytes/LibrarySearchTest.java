package io.github.qlora4j.quant.bitsandbytes;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import com.sun.jna.Platform;
import io.github.qlora4j.quant.Kernel;
import io.github.qlora4j.quant.KernelChoice;
import io.github.qlora4j.quant.Kernels;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.QuantType;
import io.github.qlora4j.quant.torch.Dtype;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32C;
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

    @Test
    void theSystemsReasonIsTold_withARemedyForLibgomp() {
        assertThat(LibrarySearch.whyNotLoaded("Unable to load library '/x/lib.so':\n"
                        + "libgomp.so.1: cannot open shared object file: No such file or directory\n"
                        + "Native library (x/lib.so) not found in resource path"))
                .isEqualTo("does not load: libgomp.so.1: cannot open shared object file: No such file or directory"
                        + "; install libgomp (Debian and Ubuntu: libgomp1)");
    }

    @Test
    void aFileOfFullLengthWithNothingAtItsEndIsCut() throws IOException {
        assumeThat(Platform.isLinux()).isTrue();
        Path file = dir.resolve("lib.so");
        byte[] bytes = Files.readAllBytes(Path.of(System.getProperty("java.home"), "lib", "libjava.so"));
        Arrays.fill(bytes, bytes.length / 2, bytes.length, (byte) 0);
        Files.write(file, bytes);
        assertThat(NativeFile.problem(file)).contains("nothing at its end");
    }

    @Test
    void theReasonIsThatOfTheFileThatIsThere() throws IOException {
        assumeThat(Platform.isLinux()).isTrue();
        Path file = dir.resolve("lib.so");
        Files.writeString(file, "not a library");
        Map<String, String> settings = Map.of("BITSANDBYTES_LIBRARY", file.toString(), "QLORA4J_CACHE", dir + "/none");
        assertThat(search(settings).whyNot()).contains(file.toString(), "not a 64-bit ELF");
    }

    @Test
    void aLibraryWithoutOurFunctionsIsOfAnotherVersion() {
        assumeThat(Platform.isLinux()).isTrue();
        Path file = Path.of(System.getProperty("java.home"), "lib", "libjava.so");
        Map<String, String> settings = Map.of("BITSANDBYTES_LIBRARY", file.toString(), "QLORA4J_CACHE", dir + "/none");
        LibrarySearch search = LibrarySearch.search(settings::get, true);
        assertThat(search.attempts().get(0).outcome()).contains("of another version than 0.50.2", "it has no c");
        assertThat(search.whyNot()).contains("libjava.so: of another version");
    }

    /** The library is held to answers that the built-in kernel gives, which are bitsandbytes' own by other tests. */
    @Test
    void theKnownAnswersAreTheBuiltInKernels() {
        Kernel builtin = Kernels.choose(KernelChoice.BUILTIN);
        CRC32C sum = new CRC32C();
        for (QuantType type : QuantType.values()) {
            for (Dtype dtype : List.of(Dtype.FLOAT32, Dtype.BFLOAT16, Dtype.FLOAT16)) {
                ByteBuffer packed = KnownAnswers.packed();
                ByteBuffer out = ByteBuffer.allocateDirect(2 * packed.capacity() * dtype.bytes())
                        .order(ByteOrder.LITTLE_ENDIAN);
                builtin.dequantizeFourBit(type, KnownAnswers.BLOCKSIZE, packed, KnownAnswers.scales(), dtype, out);
                sum.update(out.duplicate().position(0).limit(out.capacity()));
            }
        }
        assertThat(sum.getValue()).isEqualTo(KnownAnswers.EXPECTED);
    }
}
