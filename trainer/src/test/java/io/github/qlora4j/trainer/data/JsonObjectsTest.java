package io.github.qlora4j.trainer.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.trainer.config.DataFormat;
import io.github.qlora4j.trainer.config.OnBadRow;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Rows of any fields, as {@code score} and {@code generate} read them. */
class JsonObjectsTest {

    @TempDir
    private Path dir;

    private Path file(String text) throws IOException {
        return Files.writeString(dir.resolve("rows.json"), text);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '^',
            value = {
                "[{\"a\": 1},@@{\"b\": [2]}] | 1 3",
                "@[@{\"a\": 1}, {\"b\": [2]}@]@@ | 3 3",
                "{\"a\": 1}@{\"b\": [2]} | 1 2",
                "@  {\"a\": 1}@@ {\"b\": [2]} @@ | 2 4",
            })
    void anArrayAndLinesGiveTheSameRowsWithTheirLines(String text, String lines) throws IOException {
        Path file = file(text.replace('@', '\n'));
        List<JsonObjects> rows = JsonObjects.read(file);
        assertThat(rows).extracting(r -> r.value().toString()).containsExactly("{\"a\":1}", "{\"b\":[2]}");
        assertThat(rows)
                .extracting(r -> r.place().toString())
                .containsExactly(file + ":" + lines.split(" ")[0], file + ":" + lines.split(" ")[1]);
    }

    @Test
    void aFileWithoutRowsHasNone() throws IOException {
        assertThat(JsonObjects.read(file(""))).isEmpty();
        assertThat(JsonObjects.read(file(" \n\n"))).isEmpty();
        assertThat(JsonObjects.read(file(" []"))).isEmpty();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '^',
            value = {
                "{\"a\": 1}@[1] | :2: expected one object, {…}, a line",
                "{\"a\": 1}@@7 | :3: expected one object, {…}, a line",
                "{\"a\": 1} {\"b\": 2} | :1: expected one object, {…}, a line",
                "{\"a\": 1}@{\"b\" | :2: damaged JSON; JSONL has one whole object, {…}, a line",
                "[{\"a\": 1},@ 7] | :2: expected an object, {…}, as a row",
                "[{\"a\": 1}]@{\"b\": 2} | :2: there is more behind the array's ]",
                "[{\"a\": 1}@ | :2: damaged JSON, or it ends too early",
                "[{\"a\": 1},@@{\"b\" 2}] | :3: damaged JSON, or it ends too early",
            })
    void whatIsNoRowIsNamedByItsLine(String text, String message) throws IOException {
        Path file = file(text.replace('@', '\n'));
        assertThatThrownBy(() -> JsonObjects.read(file))
                .isInstanceOf(QloraException.class)
                .hasMessageStartingWith(file + message);
    }

    @Test
    void aFileThatCannotBeReadIsNamed() throws IOException {
        Path none = dir.resolve("none.json");
        assertThatThrownBy(() -> JsonObjects.read(none))
                .isInstanceOf(QloraException.class)
                .hasMessageStartingWith(none + ": there is no such file (looked in ");
        assertThatThrownBy(() -> JsonObjects.read(dir)).hasMessageStartingWith(dir + ": cannot be read: ");
        Path latin =
                Files.write(dir.resolve("latin"), "{\"a\": 1}\n{\"b\": \"é\"}".getBytes(StandardCharsets.ISO_8859_1));
        assertThatThrownBy(() -> JsonObjects.read(latin))
                .hasMessage(latin + ":2: this line is not UTF-8. Save the file as UTF-8.");
    }

    @Test
    void fieldsAreAskedForByName() throws IOException {
        Path file = file(
                "{\"a\": \"x\", \"b\": null, \"c\": \"" + "y".repeat(58) + "\", \"d\": [\"" + "z".repeat(57) + "\"]}");
        JsonObjects row = JsonObjects.read(file).get(0);
        assertThat(row.text("a")).isEqualTo("x");
        assertThat(row.textOrEmpty("a")).isEqualTo("x");
        assertThat(row.textOrEmpty("b")).isEmpty();
        assertThat(row.textOrEmpty("e")).isEmpty();
        String at = file + ":1: field ";
        assertThatThrownBy(() -> row.text("b")).hasMessage(at + "\"b\": expected text, found null");
        assertThatThrownBy(() -> row.text("e")).hasMessage(at + "\"e\": expected text, but it is missing");
        assertThatThrownBy(() -> row.textOrEmpty("d"))
                .hasMessage(at + "\"d\": expected text, found [\"" + "z".repeat(57) + "\"…");
        assertThat(row.wrong("c", "expected less"))
                .hasMessage(at + "\"c\": expected less, found \"" + "y".repeat(58) + "\"");
    }

    @Test
    void questionsAreReadFromAllFiles() throws IOException {
        Path one = Files.writeString(dir.resolve("1.jsonl"), "{\"instruction\": \"a\", \"output\": \"b\"}");
        Path two = Files.writeString(dir.resolve("2.jsonl"), "{\"instruction\": \"c\", \"output\": \"d\"}\n{}");
        assertThat(Instructions.read(Rows.source(DataFormat.ALPACA, OnBadRow.SKIP, one, two)))
                .containsExactly(
                        new Row.Instruction("a", "", "b", List.of()), new Row.Instruction("c", "", "d", List.of()));
        assertThatThrownBy(() -> Instructions.read(Rows.source(DataFormat.ALPACA, OnBadRow.ERROR, one, two)))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("2.jsonl:2: ");
    }
}
