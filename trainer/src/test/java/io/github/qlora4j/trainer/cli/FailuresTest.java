package io.github.qlora4j.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.qlora4j.quant.QloraException;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.file.NoSuchFileException;
import org.junit.jupiter.api.Test;

class FailuresTest {
    private final ByteArrayOutputStream err = new ByteArrayOutputStream();

    private int failed(Throwable problem, boolean verbose) {
        return new Failures(Terminal.plain(new PrintStream(err, true)), () -> verbose).failed(problem);
    }

    @Test
    void userError_isItsMessageAlone() {
        assertThat(failed(new QloraException("tensor x is missing"), false)).isEqualTo(1);
        assertThat(err.toString()).isEqualTo("error: tensor x is missing" + System.lineSeparator());
    }

    @Test
    void wrongConfiguration_isWrongUse() {
        assertThat(failed(new WrongUse(new QloraException("run.yaml:3:5: unknown key")), false))
                .isEqualTo(2);
    }

    @Test
    void unexpectedException_isOneLineAndTheWayToTheTrace() {
        assertThat(failed(new IllegalStateException("first\nsecond"), false)).isEqualTo(1);
        assertThat(err.toString())
                .contains("internal error: IllegalStateException (first)", "--verbose")
                .hasLineCount(1);
    }

    @Test
    void verbose_showsTheTrace() {
        failed(new IllegalStateException("boom"), true);
        assertThat(err.toString()).contains("\tat ");
    }

    @Test
    void fullHeap_saysHowToGiveMore() {
        assertThat(failed(new OutOfMemoryError("Java heap space"), false)).isEqualTo(1);
        assertThat(err.toString()).contains("QLORA4J_JAVA_OPTS=-Xmx");
    }

    @Test
    void whatFailedAtTheFirstUseOfAClass_isTold() {
        failed(new ExceptionInInitializerError(new QloraException("DJL's PyTorch library could not be loaded")), false);
        assertThat(err.toString())
                .isEqualTo("error: DJL's PyTorch library could not be loaded" + System.lineSeparator());
    }

    @Test
    void nativeLibraryThatDoesNotLoad_saysWhereRoomIsNeeded() {
        failed(new UnsatisfiedLinkError("libjnidispatch.so: file too short"), false);
        assertThat(err.toString())
                .contains("file too short", "DJL_CACHE_DIR", "doctor")
                .doesNotContain("internal error");
    }

    @Test
    void nativeLibrary_thatFailedBefore_isTheSameError() {
        failed(new NoClassDefFoundError("Could not initialize class com.sun.jna.NativeLibrary"), false);
        assertThat(err.toString()).contains("a native library cannot be loaded", "DJL_CACHE_DIR");
    }

    @Test
    void missingFile_isNamed() {
        failed(new NoSuchFileException("models/none"), false);
        assertThat(err.toString()).contains("models/none: no such file or directory");
    }

    @Test
    void allocatorsRefusal_saysWhatToMakeSmaller() {
        failed(new RuntimeException("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), false);
        assertThat(err.toString()).contains("not enough memory").contains("qlora plan");
    }

    @Test
    void allocatorsRefusal_saysHowMuchWasAsked() {
        failed(
                new RuntimeException("you tried to allocate 2500000000 bytes. Error code 12 (Cannot allocate memory)"),
                false);
        assertThat(err.toString())
                .contains("not enough memory for 2.50 GB more")
                .doesNotContain("internal error");
    }
}
