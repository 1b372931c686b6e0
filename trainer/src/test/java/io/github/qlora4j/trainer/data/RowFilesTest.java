package io.github.qlora4j.trainer.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.trainer.config.DataFormat;
import io.github.qlora4j.trainer.config.FieldNames;
import io.github.qlora4j.trainer.config.OnBadRow;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class RowFilesTest {

    private static final String GOOD = "{\"instruction\": \"a\", \"input\": null, \"output\": \"b\", \"id\": [1, {}]}";

    @TempDir
    Path temp;

    @Test
    void arraysAndLinesGiveTheSameRows() throws IOException {
        List<Row> expected = List.of(
                new Row.Instruction("a", "", "b", List.of()),
                new Row.Instruction("é🙂", "x\ny", "", List.of(new Row.Turn("q", "r"), new Row.Turn("", ""))));
        String second = "{\"output\": \"\", \"instruction\": \"\\u00e9\\ud83d\\ude42\", \"input\": \"x\\ny\","
                + " \"history\": [[\"q\", \"r\"], [\"\", \"\"]]}";
        for (String text : List.of(
                "[" + GOOD + "," + second + "]",
                "\n [\n" + GOOD + "\n,\n" + second + "]\n\n",
                "\uFEFF[" + GOOD + "," + second + "]",
                GOOD + "\n" + second,
                "\n" + GOOD + "\r\n\r\n  " + second + "  \n\n",
                "\uFEFF" + GOOD + "\n" + second)) {
            assertThat(Rows.read(file("rows", text), DataFormat.ALPACA))
                    .as(text)
                    .isEqualTo(expected);
        }
    }

    @Test
    void anEmptyArrayHasNoRows() throws IOException {
        assertThat(Rows.read(file("rows.json", " [ ] "), DataFormat.ALPACA)).isEmpty();
        assertThat(Rows.read(file("rows.jsonl", "\n\n{\"text\": \"x\"}"), DataFormat.TEXT))
                .containsExactly(new Row.Text("x"));
    }

    @Test
    void fieldsMayHaveOtherNames() throws IOException {
        FieldNames names = new FieldNames("q", "context", "a", "history", "text", "input_ids", "labels");
        List<Row> rows = new ArrayList<>();
        new RowFiles(new RowFields(DataFormat.ALPACA, names, 100), OnBadRow.ERROR)
                .read(
                        file("rows.jsonl", "{\"q\": \"1\", \"a\": \"2\", \"context\": \"3\", \"input\": 7}"),
                        (row, place) -> rows.add(row));
        assertThat(rows).containsExactly(new Row.Instruction("1", "3", "2", List.of()));
    }

    @Test
    void tokenizedRowsKeepTheirLabels() throws IOException {
        List<Row> rows = Rows.read(
                file("rows.jsonl", "{\"input_ids\": [0, 2, 99]}\n{\"input_ids\": [3, 4], \"labels\": [-100, 7]}"),
                DataFormat.TOKENIZED);
        Example first = ((Row.Tokens) rows.get(0)).example();
        Example second = ((Row.Tokens) rows.get(1)).example();
        assertThat(first.labels()).containsExactly(0, 2, 99);
        assertThat(second.inputIds()).containsExactly(3, 4);
        assertThat(second.labels()).containsExactly(-100, 7);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "ALPACA | {\"instruction\": \"a\"} | \"output\" is missing; the row has \"instruction\"",
                "ALPACA | {} | \"instruction\" is missing; the row has no fields",
                "ALPACA | {\"instruction\": 3, \"output\": \"b\"} | \"instruction\": expected text, found 3",
                "ALPACA | {\"instruction\": \"a\", \"output\": null} | \"output\": expected text, found null",
                "ALPACA | {\"instruction\": \"a\", \"input\": [], \"output\": \"b\"} | \"input\": expected text, found []",
                "ALPACA | {\"instruction\": \" \", \"output\": \"\\u3000\"} | all blank",
                "ALPACA | {\"instruction\": \"a\", \"output\": \"b\", \"output\": \"c\"} | \"output\" stands twice",
                "ALPACA | {\"instruction\": \"a\", \"output\": \"b\", \"history\": \"c\"} | \"history\": expected a list",
                "ALPACA | {\"instruction\": \"a\", \"output\": \"b\", \"history\": [[\"c\"]]} | \"history[0]\": expected a pair",
                "ALPACA | [1] | expected an object",
                "ALPACA | 7 | expected an object",
                "TEXT | {\"text\": \"\\n \"} | \"text\": expected text that is not blank",
                "TEXT | {\"txt\": \"x\"} | \"text\" is missing; the row has \"txt\"",
                "TOKENIZED | {\"input_ids\": []} | at least one token id",
                "TOKENIZED | {\"input_ids\": [1, 100]} | \"input_ids[1]\": expected a list of token ids below 100, found 100",
                "TOKENIZED | {\"input_ids\": [-1]} | found -1",
                "TOKENIZED | {\"input_ids\": [1.5]} | found 1.5",
                "TOKENIZED | {\"input_ids\": [99999999999999999999]} | found 99999999999999999999",
                "TOKENIZED | {\"input_ids\": [\"1\"]} | found \"1\"",
                "TOKENIZED | {\"input_ids\": [-100]} | found -100",
                "TOKENIZED | {\"input_ids\": [0, 1], \"labels\": [0, 100]} | \"labels[1]\": expected a list of token ids below 100, or -100",
                "ALPACA | {\"instruction\": [\"1234567890123456789012345678901234567\"], \"output\": \"b\"} | found [\"1234567890123456789012345678901234567\"…",
                "ALPACA | {\"instruction\": [\"123456789012345678901234567890123456\"], \"output\": \"b\"} | found [\"123456789012345678901234567890123456\"] (data",
                "ALPACA | {\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"j\":1,\"k\":1,\"l\":1,\"m\":1} | \"k\", \"l\". Say under data.fields",
                "TOKENIZED | {\"input_ids\": [1, 2], \"labels\": [1]} | has 1 entries, \"input_ids\" 2",
                "TOKENIZED | {\"input_ids\": [1], \"labels\": [-99]} | \"labels[0]\": expected",
            })
    void aBadRowIsNamedByFileLineAndField_orCounted(DataFormat format, String bad, String problem) throws IOException {
        String good = format == DataFormat.ALPACA
                ? GOOD
                : format == DataFormat.TEXT ? "{\"text\": \"x\"}" : "{\"input_ids\": [1]}";
        Path lines = file("rows.jsonl", good + "\n\n" + bad + "\n" + good + "\n");
        Path array = file("rows.json", "[" + good + ",\n\n" + bad + ",\n" + good + "]");
        for (Path file : List.of(lines, array)) {
            assertThatThrownBy(() -> Rows.read(file, format))
                    .isInstanceOf(QloraException.class)
                    .hasMessageContainingAll(file + ":3: ", problem, "on_bad_row");
            assertThat(Rows.read(file, format, OnBadRow.SKIP))
                    .as(file.toString())
                    .hasSize(2);
        }
    }

    @Test
    void theLineIsTheFieldsOwn() throws IOException {
        Path file = file("rows.json", "[\n {\n  \"instruction\": \"a\",\n  \"output\": 3\n }\n]");
        assertThatThrownBy(() -> Rows.read(file, DataFormat.ALPACA))
                .hasMessageContaining(file + ":4: field \"output\"");
    }

    @Test
    void aDamagedLineCostsOneRow_aDamagedArrayTheFile() throws IOException {
        Path lines = file("rows.jsonl", GOOD + "\n{\"instruction\": \"a\", \"out\n" + GOOD + "\n{]\n" + GOOD + GOOD);
        assertThat(Rows.read(lines, DataFormat.ALPACA, OnBadRow.SKIP)).hasSize(2);
        assertThatThrownBy(() -> Rows.read(lines, DataFormat.ALPACA))
                .hasMessageContainingAll(lines + ":2: ", "one whole object a line");
        Path cut = file("cut.jsonl", "{\"instruction\": [");
        assertThatThrownBy(() -> Rows.read(cut, DataFormat.ALPACA))
                .hasMessageContaining(cut + ":1: the line ends before its object does; ");
        Path wrong = file("wrong.jsonl", "{\"instruction\" 3}");
        assertThatThrownBy(() -> Rows.read(wrong, DataFormat.ALPACA))
                .hasMessageMatching(
                        ".*:1: damaged JSON: .* at column \\d+, .*; JSONL has one whole object a line \\(data.*");
        Path tab = file("tab.jsonl", "{\"instruction\": \"a\tb\", \"output\": \"c\"}");
        assertThatThrownBy(() -> Rows.read(tab, DataFormat.ALPACA)).hasMessageContaining(tab + ":1: damaged JSON: ");
        for (String text : List.of("[{\"instruction\": [", "[{\"instruction\": \"a\"", "[" + GOOD + ",", "[")) {
            Path array = file("ends.json", text);
            assertThatThrownBy(() -> Rows.read(array, DataFormat.ALPACA))
                    .as(text)
                    .hasMessageContaining(array + ":1: the file ends before its array does");
        }
        for (String text : List.of(
                "[" + GOOD + ",\n" + GOOD, "[" + GOOD + ",\n]", "[" + GOOD + ",\n{]", "[" + GOOD + "\n" + GOOD + "]")) {
            Path array = file("rows.json", text);
            assertThatThrownBy(() -> Rows.read(array, DataFormat.ALPACA, OnBadRow.SKIP))
                    .as(text)
                    .isInstanceOf(QloraException.class)
                    .hasMessageContaining(array + ":2: ");
        }
        Path more = file("rows.json", "[" + GOOD + "]\n[]");
        assertThatThrownBy(() -> Rows.read(more, DataFormat.ALPACA)).hasMessageContaining(more + ":2: ");
    }

    @Test
    void whatIsNotUtf8IsNamedByItsLine() throws IOException {
        byte[] bad = (GOOD + "\n" + GOOD.replace("b", "é") + "\n").getBytes(StandardCharsets.ISO_8859_1);
        Path lines = Files.write(temp.resolve("latin.jsonl"), bad);
        assertThatThrownBy(() -> Rows.read(lines, DataFormat.ALPACA)).hasMessageContainingAll(lines + ":2: ", "UTF-8");
        assertThat(Rows.read(lines, DataFormat.ALPACA, OnBadRow.SKIP)).hasSize(1);
        Path array = Files.write(
                temp.resolve("latin.json"),
                ("[" + GOOD + ",\n" + GOOD.replace("b", "é") + "]").getBytes(StandardCharsets.ISO_8859_1));
        assertThatThrownBy(() -> Rows.read(array, DataFormat.ALPACA)).hasMessageContainingAll(array + ":2: ", "UTF-8");
        Path wide = Files.write(temp.resolve("wide.json"), ("\uFEFF[]").getBytes(StandardCharsets.UTF_16LE));
        assertThatThrownBy(() -> Rows.read(wide, DataFormat.ALPACA)).hasMessageContaining("UTF-16");
    }

    @Test
    void whatAFileIsInsteadIsSaid() throws IOException {
        refused(new byte[] {0x1F, (byte) 0x8B}, ": this is compressed with gzip. Unpack it first: gunzip ");
        refused(new byte[] {(byte) 0xFF, (byte) 0xFE}, ": this is UTF-16. Save the file as UTF-8.");
        refused(new byte[] {(byte) 0xFE, (byte) 0xFF}, ": this is UTF-16. Save the file as UTF-8.");
        refused(new byte[] {(byte) 0xEF, (byte) 0xBB, (byte) 0xBF}, ":1: the file is empty; expected");
        refused(new byte[] {'\t', '\r'}, ":1: the file is empty; expected");
        refused(new byte[] {}, ":1: the file is empty; expected");
        refused(new byte[] {0x1F}, ":1: this is not JSON; expected");
        refused(new byte[] {0x0E, '['}, ":1: this is not JSON; expected");
        refused(new byte[] {0x08, '['}, ":1: this is not JSON; expected");
    }

    private void refused(byte[] bytes, String message) throws IOException {
        Path file = Files.write(temp.resolve("rows.json"), bytes);
        assertThatThrownBy(() -> Rows.read(file, DataFormat.ALPACA))
                .as(Arrays.toString(bytes))
                .isInstanceOf(QloraException.class)
                .hasMessageStartingWith(file + message);
    }

    @Test
    void bytesOfZeroBelongToTheirLine() throws IOException {
        Path file = Files.write(temp.resolve("zeros"), new byte[] {0, 'a', 0, '\n', 'b'});
        try (Utf8Lines lines = Utf8Lines.open(file)) {
            assertThat(lines.next()).containsExactly(0, 'a', 0);
            assertThat(lines.next()).containsExactly('b');
            assertThat(lines.number()).isEqualTo(2);
            assertThat(lines.next()).isNull();
        }
    }

    @Test
    void whatIsNoJsonAtAllIsSaid() throws IOException {
        for (String text : List.of("", "  \n", "hello", "\"text\"", "\u001f\u008b")) {
            Path file = file("rows.json", text);
            assertThatThrownBy(() -> Rows.read(file, DataFormat.ALPACA, OnBadRow.SKIP))
                    .as(text)
                    .isInstanceOf(QloraException.class)
                    .hasMessageContaining(file.toString());
        }
    }

    @Test
    void damagedFilesGiveRowsOrAnErrorThatNamesTheFile() throws IOException {
        StringBuilder lines = new StringBuilder();
        for (int i = 0; i < 6; i++) {
            lines.append("{\"instruction\": \"row ")
                    .append(i)
                    .append(" é\\u00e9\", \"input\": \"\", \"history\": [[\"q\",")
                    .append(" \"a\"]], \"output\": \"b\\n\", \"other\": {\"x\": [1.5e3, null, true]}}\n");
        }
        String array = "[" + lines.toString().strip().replace("\n", ",\n") + "]";
        for (int seed = 0; seed < 800; seed++) {
            Random random = new Random(seed);
            byte[] bytes = (random.nextBoolean() ? lines.toString() : array).getBytes(StandardCharsets.UTF_8);
            if (random.nextInt(3) == 0) {
                bytes = Arrays.copyOf(bytes, random.nextInt(bytes.length));
            }
            for (int i = random.nextInt(6); i >= 0 && bytes.length > 0; i--) {
                String likely = "{}[]\",:\\\n\u0000\u007f0-tn";
                bytes[random.nextInt(bytes.length)] = random.nextBoolean()
                        ? (byte) random.nextInt(256)
                        : (byte) likely.charAt(random.nextInt(likely.length()));
            }
            Path file = Files.write(temp.resolve("damaged"), bytes);
            for (OnBadRow onBadRow : OnBadRow.values()) {
                try {
                    assertThat(Rows.read(file, DataFormat.ALPACA, onBadRow)).hasSizeLessThanOrEqualTo(7);
                } catch (QloraException e) {
                    assertThat(e.getMessage()).as("seed %d", seed).contains(file.toString());
                }
            }
        }
    }

    @Test
    void deepNestingAndLongLinesAreNoTrouble() throws IOException {
        Path deep = file("deep.json", "[{\"instruction\": " + "[".repeat(200_000));
        assertThatThrownBy(() -> Rows.read(deep, DataFormat.ALPACA))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining(deep.toString());
        Path ignored = file("deep.jsonl", "{\"x\": " + "[".repeat(200_000));
        assertThatThrownBy(() -> Rows.read(ignored, DataFormat.ALPACA))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining(ignored.toString());
        Path wide = file("wide.jsonl", "{\"text\": \"" + "x".repeat(3 << 20) + "\"}");
        assertThat(((Row.Text) Rows.read(wide, DataFormat.TEXT).get(0)).text()).hasSize(3 << 20);
    }

    private Path file(String name, String text) throws IOException {
        return Files.writeString(temp.resolve(name), text);
    }
}
