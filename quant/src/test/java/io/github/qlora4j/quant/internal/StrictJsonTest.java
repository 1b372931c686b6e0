package io.github.qlora4j.quant.internal;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.gson.JsonObject;
import io.github.qlora4j.quant.QloraException;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class StrictJsonTest {

    @TempDir
    private Path dir;

    @Test
    void everyKindOfValueIsRead() {
        JsonObject read =
                parse(" {\"a\": [1, [], {\"b\": {}}], \"c\": true, \"d\": null, \"e\": \"\\u00e4\", \"f\": 1.50e3} ");
        assertThat(read).hasToString("{\"a\":[1,[],{\"b\":{}}],\"c\":true,\"d\":null,\"e\":\"ä\",\"f\":1.50e3}");
        assertThat(read.get("f").getAsDouble()).isEqualTo(1500);
        assertThat(read.get("c").getAsBoolean()).isTrue();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '^',
            value = {
                "[1] | a JSON object was expected, found an array",
                "null | a JSON object was expected, found null",
                "12 | a JSON object was expected, found 12",
                "\"x\" | a JSON object was expected, found \"x\"",
                "{} {} | something follows the JSON value",
                "{} ] | something follows the JSON value",
                "{\"a\":1,\"a\":1} | the key \"a\" stands twice",
                "{\"b\":[{\"a\":1,\"a\":1}]} | the key \"a\" stands twice",
                "{\"a\": | not valid JSON: it ends in the middle",
                "{\"a\":[1, | not valid JSON: it ends in the middle",
                "^^ | not valid JSON: it ends in the middle",
                "{'a':1} | not valid JSON: malformed JSON at line 1 column 3 path $.",
                "{a:1} | not valid JSON: malformed JSON at line 1 column 3 path $.",
                "{\"a\":NaN} | not valid JSON: malformed JSON at line 1 column 6 path $.a",
                "{\"a\":TRUE} | not valid JSON: malformed JSON at line 1 column 6 path $.a",
                "{/* */} | not valid JSON: malformed JSON at line 1 column 3 path $.",
                "{\"a\":1,} | not valid JSON: ",
                "{\"a\":[1,]} | not valid JSON: ",
                "{\"a\":\"\\x\"} | not valid JSON: Invalid escape sequence at line 1 column 9 path $.a",
                "{\"a\"] | not valid JSON: Expected ':' at line 1 column 6 path $.a",
            })
    void whatIsNotOneJsonObjectIsRefusedOnOneLine(String json, String message) {
        assertThatThrownBy(() -> parse(json))
                .isInstanceOf(QloraException.class)
                .hasMessageStartingWith("x.json: " + message)
                .hasMessageNotContainingAny("\n", "JsonReader");
    }

    @Test
    void bytesThatAreNotUtf8AreRefused() {
        byte[] latin1 = "{\"a\":\"ä\"}".getBytes(StandardCharsets.ISO_8859_1);
        assertThatThrownBy(() -> StrictJson.parseObject(latin1, "x.json"))
                .isInstanceOf(QloraException.class)
                .hasMessage("x.json: not valid JSON: it is not UTF-8 text");
    }

    @Test
    void errorsWithoutAMessageAreTold() {
        assertThat(StrictJson.malformed("x.json", new IllegalStateException()))
                .hasMessageStartingWith("x.json: not valid JSON: ");
    }

    @Test
    void filesAreNamedInErrors() throws IOException {
        Path file = dir.resolve("config.json");
        assertThatThrownBy(() -> StrictJson.readObject(file))
                .isInstanceOf(QloraException.class)
                .hasMessageStartingWith(file + ": cannot be read: ");
        Files.writeString(file, "{\"a\": 1}");
        assertThat(StrictJson.readObject(file)).hasToString("{\"a\":1}");
        Files.writeString(file, "[]");
        assertThatThrownBy(() -> StrictJson.readObject(file)).hasMessageStartingWith(file + ": a JSON object");
    }

    @Test
    void aFileOfMoreThan256MiBIsNotRead() throws IOException {
        Path file = dir.resolve("huge.json");
        try (RandomAccessFile hole = new RandomAccessFile(file.toFile(), "rw")) {
            hole.setLength((256L << 20) + 1);
        }
        assertThatThrownBy(() -> StrictJson.readObject(file))
                .isInstanceOf(QloraException.class)
                .hasMessage(file + ": 268435457 bytes is too large for a JSON file of a model; 256 MiB is the most");
    }

    private static JsonObject parse(String json) {
        return StrictJson.parseObject(json.getBytes(StandardCharsets.UTF_8), "x.json");
    }
}
