package io.github.qlora4j.quant.internal;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import com.google.gson.stream.JsonToken;
import io.github.qlora4j.quant.QloraException;
import java.io.EOFException;
import java.io.IOException;
import java.io.StringReader;
import java.io.UncheckedIOException;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.FileSystemLoopException;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What a user reads of an error that Java or Gson raised: words, on one line. */
class ReasonTest {

    @Test
    void filesAreToldInWords() {
        assertThat(Reason.of(new NoSuchFileException("a"))).isEqualTo("no such file or directory");
        assertThat(Reason.of(new AccessDeniedException("a"))).isEqualTo("permission denied");
        assertThat(Reason.of(new FileSystemException("a", "b", "Too many levels of symbolic links")))
                .isEqualTo("Too many levels of symbolic links");
        assertThat(Reason.of(new IOException("No space left on device\nsecond line")))
                .isEqualTo("No space left on device");
        assertThat(Reason.of(new IOException())).isEqualTo("it failed without a reason");
        assertThat(Reason.of(new FileAlreadyExistsException("a"))).isEqualTo("it is there already");
        assertThat(Reason.of(new DirectoryNotEmptyException("a"))).isEqualTo("the directory is not empty");
        assertThat(Reason.of(new NotDirectoryException("a"))).isEqualTo("it is not a directory");
        assertThat(Reason.of(new FileSystemLoopException("a"))).isEqualTo("its symbolic links lead in a circle");
        assertThat(Reason.of(new CharacterCodingException())).isEqualTo("it is not UTF-8 text");
        assertThat(Reason.of(new EOFException())).isEqualTo("it ends too early");
        assertThat(Reason.of(new UncheckedIOException(new EOFException()))).isEqualTo("it ends too early");
    }

    @Test
    void tokensOfAParserAreToldInWords() {
        assertThat(Reason.ofJson(new IllegalStateException("Expected BEGIN_OBJECT but was STRING at line 1")))
                .isEqualTo("Expected an object but was a text at line 1");
        assertThat(JsonToken.values())
                .extracting(Reason::kind)
                .doesNotHaveDuplicates()
                .allMatch(kind -> !kind.isBlank());
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "{\"a\": [}",
                "{\"a\" 1}",
                "{'a': 1}",
                "{\"a\": 1} x",
                "{\"a\": 01}",
                "[1",
                "{\"a\": nan}",
                "// x",
                ""
            })
    void jsonIsToldWithoutTheParsersNames(String text) {
        Exception strict = catchThrowableOfType(
                Exception.class, () -> StrictJson.parseObject(text.getBytes(StandardCharsets.UTF_8), "f.json"));
        assertThat(strict).isInstanceOf(QloraException.class);
        assertThat(strict.getMessage())
                .startsWith("f.json: ")
                .doesNotContain("JsonReader", "Strictness", "Exception", "BEGIN_", "END_", "http", "\n");
        try {
            JsonParser.parseReader(StrictJson.reader(new StringReader(text)));
        } catch (JsonParseException e) {
            assertThat(Reason.ofJson(e)).doesNotContain("JsonReader", "Exception", "BEGIN_", "com.", "http", "\n");
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {300, 20_000, 1_000_000})
    void jsonThatIsNestedDeeplyIsAnError(int depth) {
        byte[] text = ("{\"a\": " + "[".repeat(depth) + "]".repeat(depth) + "}").getBytes(StandardCharsets.UTF_8);
        assertThatThrownBy(() -> StrictJson.parseObject(text, "f.json"))
                .isInstanceOf(QloraException.class)
                .hasMessageStartingWith("f.json: not valid JSON: ");
    }

    @Test
    void ofALibrary_theSystemsOwnWords() {
        Throwable first = new UnsatisfiedLinkError("/tmp/jna1.tmp: /tmp/jna1.tmp: file too short");
        assertThat(Reason.ofLibrary(first)).isEqualTo("/tmp/jna1.tmp: /tmp/jna1.tmp: file too short");
        // as Java tells it when the class is used again
        Throwable again = new NoClassDefFoundError("Could not initialize class com.sun.jna.Native");
        again.initCause(new ExceptionInInitializerError(
                "Exception java.lang.UnsatisfiedLinkError: libjnidispatch.so: file too short [in thread \"main\"]"));
        assertThat(Reason.ofLibrary(again)).isEqualTo("libjnidispatch.so: file too short");
        assertThat(Reason.ofLibrary(new IllegalStateException(
                        "ai.djl.engine.EngineException: no", new java.io.IOException("No space left on device"))))
                .isEqualTo("No space left on device");
        assertThat(Reason.ofLibrary(new NoClassDefFoundError("Could not initialize class a.B")))
                .isEqualTo("no reason is given");
    }

    @Test
    void whatIsQuotedFromAFileCannotSteerATerminal() {
        QloraException error =
                new QloraException("a\u001b[2Jb\rc\u202Ed\u0085e\u2028f\0 \tg\nh \u4e2d\uD83D\uDE00 \uD800");
        assertThat(error)
                .hasMessage("a\\u001b[2Jb\\u000dc\\u202ed\\u0085e\\u2028f\\u0000 \tg\nh \u4e2d\uD83D\uDE00 \\ud800");
        assertThat(new QloraException(null, error).getMessage()).isNull();
    }

    @Test
    void whatIsQuotedFromAFileCannotFillATerminal() {
        assertThat(new QloraException("f.json: key: got " + "x".repeat(70_000) + ", expected 1"))
                .hasMessage("f.json: key: got " + "x".repeat(200) + "… expected 1");
        assertThat(new QloraException("f.json: " + "x ".repeat(70_000)).getMessage())
                .hasSizeLessThan(8100);
        String path = "models/" + "d/".repeat(200) + "config.json";
        assertThat(new QloraException(path + ": not found")).hasMessage(path + ": not found");
    }
}
