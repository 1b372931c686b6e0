package io.github.qlora4j.trainer.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.trainer.config.DataFormat;
import io.github.qlora4j.trainer.config.OnBadRow;
import io.github.qlora4j.trainer.tokenizer.GoldenTexts;
import io.github.qlora4j.trainer.tokenizer.Tokenizer;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import java.util.zip.CRC32C;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class DatasetTest {

    private final Tokenizer tokenizer = Tokenizer.load(GoldenTexts.directory("bytelevel"));

    @TempDir
    Path temp;

    @AfterEach
    void close() {
        tokenizer.close();
    }

    @Test
    void rowsWithNothingLeftToLearnAreLeftOutAndCounted() throws IOException {
        Path file = write(
                row("short", "yes"),
                row("x".repeat(400), "never reached"),
                row("short", "long ".repeat(100)),
                "{\"a\": 1}");
        Dataset data = Dataset.load(Rows.source(DataFormat.ALPACA, OnBadRow.SKIP, file), encoder(64), Optional.empty());
        DataReport report = data.report();
        assertThat(data.size()).isEqualTo(2);
        assertThat(report.rowsRead()).isEqualTo(4);
        assertThat(report.badRows()).isEqualTo(1);
        assertThat(report.nothingToLearn()).isEqualTo(1);
        assertThat(report.answersCut()).isEqualTo(1);
        assertThat(report.rows()).isEqualTo(2);
        assertThat(report.longest()).isEqualTo(64);
        assertThat(report.tokens()).isEqualTo(data.length(0) + data.length(1));
        assertThat(report.learnedTokens())
                .isEqualTo(data.get(0).learned() + data.get(1).learned());
        assertThat(report.firstBadRow()).contains(file + ":4:");
        assertThat(report.summary())
                .contains(
                        "2 rows of 4",
                        "1 bad rows",
                        "1 with nothing left",
                        "1 answers cut",
                        report.tokens() + " tokens");
    }

    @Test
    void aRunThatCannotLearnAnythingIsAnError() throws IOException {
        Path long1 = write(row("x".repeat(400), "a"), row("y".repeat(400), "b"));
        assertThatThrownBy(() -> Dataset.load(
                        Rows.source(DataFormat.ALPACA, OnBadRow.ERROR, long1), encoder(32), Optional.of(temp)))
                .isInstanceOf(QloraException.class)
                .hasMessageContainingAll("nothing can be learned", long1.toString(), "max_length 32", "2");
        Path bad = write("{\"b\": 1}");
        assertThatThrownBy(() ->
                        Dataset.load(Rows.source(DataFormat.ALPACA, OnBadRow.SKIP, bad), encoder(32), Optional.empty()))
                .hasMessageContainingAll("nothing can be learned", "1 are bad", "\"instruction\" is missing");
        Path empty = Files.writeString(temp.resolve("none.json"), "[]");
        assertThatThrownBy(() -> Dataset.load(
                        Rows.source(DataFormat.ALPACA, OnBadRow.ERROR, empty), encoder(32), Optional.empty()))
                .hasMessage("data.train (" + empty + ") has no rows: there is nothing to learn");
        Path other = Files.writeString(temp.resolve("none2.json"), "[]");
        assertThatThrownBy(() -> Dataset.load(
                        Rows.source(DataFormat.ALPACA, OnBadRow.ERROR, empty, other), encoder(32), Optional.empty()))
                .hasMessageStartingWith("data.train (" + empty + " and 1 more) has no rows");
        Path masked =
                Files.writeString(temp.resolve("masked.json"), "[{\"input_ids\": [1, 2], \"labels\": [1, -100]}]");
        assertThatThrownBy(() -> Dataset.load(
                        Rows.source(DataFormat.TOKENIZED, OnBadRow.ERROR, masked), encoder(32), Optional.empty()))
                .as("the first token of a row is never learned")
                .hasMessageContaining("nothing can be learned");
    }

    @Test
    void aRowThatIsNotUnicodeIsABadRow() throws IOException {
        Path file = write(row("a", "b"), row("\\ud83d", "b"));
        assertThatThrownBy(() -> Dataset.load(
                        Rows.source(DataFormat.ALPACA, OnBadRow.ERROR, file), encoder(64), Optional.empty()))
                .isInstanceOf(QloraException.class)
                .hasMessageContainingAll(file + ":2:", "surrogate");
        assertThat(Dataset.load(Rows.source(DataFormat.ALPACA, OnBadRow.SKIP, file), encoder(64), Optional.empty())
                        .report()
                        .badRows())
                .isEqualTo(1);
    }

    @Test
    void anIdOutsideTheModelIsNamed() {
        Row row = new Row.Tokens(new Example(new int[] {5, 507}, new int[] {5, 507}));
        assertThatThrownBy(() -> encoder(64).encode(row))
                .isInstanceOf(QloraException.class)
                .hasMessageContainingAll("507", "vocabulary");
    }

    @Test
    void cachedRowsEqualThoseTokenized() throws IOException {
        Path cache = temp.resolve("cache");
        Path file = Files.writeString(
                temp.resolve("ids.jsonl"),
                "{\"input_ids\": [1, 2, 3]}\n{\"input_ids\": [1, 2, 3], \"labels\": [-100, 9, -100]}\n"
                        + "{\"input_ids\": [1, 2, 3], \"labels\": [-100, -100, 3]}\n{\"input_ids\": [7]}\n");
        Dataset first = load(DataFormat.TOKENIZED, file, 64, cache);
        Path kept = only(cache);
        FileTime written = Files.getLastModifiedTime(kept);
        Dataset second = load(DataFormat.TOKENIZED, file, 64, cache);
        assertSame(second, first);
        assertThat(second.report()).isEqualTo(first.report());
        assertThat(Files.getLastModifiedTime(kept)).isEqualTo(written);
        assertThat(first.size()).isEqualTo(3);
        assertThat(second.get(1).labels()).containsExactly(-100, 9, -100);
        assertThat(second.get(2).labels()).containsExactly(-100, -100, 3);
    }

    @Test
    void whateverDecidesTheTokensDecidesTheCache() throws IOException {
        Path cache = temp.resolve("cache");
        Path file = write(row("a question", "an answer"));
        List<String> prints = new ArrayList<>();
        prints.add(load(DataFormat.ALPACA, file, 64, cache).fingerprint());
        prints.add(load(DataFormat.ALPACA, file, 65, cache).fingerprint());
        for (RowEncoder encoder : List.of(
                encoder(Template.ALPACA, new RowEncoder.Settings(false, 64, false, false)),
                encoder(Template.HUMAN_ASSISTANT, new RowEncoder.Settings(true, 64, false, false)),
                encoder(Template.HUMAN_ASSISTANT, new RowEncoder.Settings(false, 64, true, false)),
                encoder(Template.HUMAN_ASSISTANT, new RowEncoder.Settings(false, 64, false, true)))) {
            prints.add(Dataset.load(Rows.source(DataFormat.ALPACA, OnBadRow.ERROR, file), encoder, Optional.of(cache))
                    .fingerprint());
        }
        prints.add(Dataset.load(Rows.source(DataFormat.ALPACA, OnBadRow.SKIP, file), encoder(64), Optional.of(cache))
                .fingerprint());
        Files.writeString(file, row("a question", "another"));
        prints.add(load(DataFormat.ALPACA, file, 64, cache).fingerprint());
        assertThat(prints).doesNotHaveDuplicates();
        try (Stream<Path> files = Files.list(cache)) {
            assertThat(files).hasSize(prints.size());
        }
    }

    @Test
    void aDamagedCacheIsMadeAnew() throws IOException {
        Path cache = temp.resolve("cache");
        Path file = write(row("a question", "an answer"), row("more", "words"));
        Dataset good = load(DataFormat.ALPACA, file, 64, cache);
        Path kept = only(cache);
        byte[] bytes = Files.readAllBytes(kept);
        for (int seed = 0; seed < 400; seed++) {
            Random random = new Random(seed);
            byte[] bad = random.nextInt(3) == 0
                    ? java.util.Arrays.copyOf(bytes, random.nextInt(bytes.length + 8))
                    : bytes.clone();
            if (bad.length == bytes.length) {
                bad[random.nextInt(bad.length)] ^= (byte) (1 << random.nextInt(8));
            }
            Files.write(kept, bad);
            assertSame(load(DataFormat.ALPACA, file, 64, cache), good);
            assertThat(Files.readAllBytes(kept)).as("seed %d", seed).isEqualTo(bytes);
        }
    }

    /** A checksum that fits says only that the file is as it was written. */
    @ParameterizedTest
    @ValueSource(ints = {-1, 0, 2, 1 << 28, Integer.MAX_VALUE, Integer.MIN_VALUE})
    void aCacheOfNumbersThatCannotBeIsMadeAnew(int number) throws IOException {
        Path cache = temp.resolve("cache");
        Path file = write(row("a question", "an answer"), row("more", "words"));
        Dataset good = load(DataFormat.ALPACA, file, 64, cache);
        Path kept = only(cache);
        byte[] bytes = Files.readAllBytes(kept);
        // behind the magic, the fingerprint and the counts of rows that are reported alone
        for (int at = 8 + 2 + 64 + 4 * Long.BYTES; at + Integer.BYTES <= bytes.length - Long.BYTES; at += 2) {
            ByteBuffer changed = ByteBuffer.wrap(bytes.clone());
            changed.putInt(at, number);
            CRC32C crc = new CRC32C();
            crc.update(changed.array(), 0, bytes.length - Long.BYTES);
            changed.putLong(bytes.length - Long.BYTES, crc.getValue());
            Files.write(kept, changed.array());
            Dataset read = load(DataFormat.ALPACA, file, 64, cache);
            assertThat(read.size()).as("byte %d", at).isEqualTo(good.size());
            assertThat(read.report().tokens())
                    .as("byte %d", at)
                    .isEqualTo(good.report().tokens());
            for (int r = 0; r < read.size(); r++) {
                assertThat(read.get(r).inputIds()).as("byte %d, row %d", at, r).doesNotContain(-1, Integer.MIN_VALUE);
            }
        }
    }

    /** Ids from 0 to the last of the vocabulary, and labels that are none of the ids. */
    @Test
    void aCacheOfAnotherVocabularyIsNotTaken() {
        TokenCache ids = kept("1".repeat(64), new Example(new int[] {1, 0, 9}, new int[] {1, 0, 9}));
        assertThat(ids.read(10)).isPresent();
        assertThat(ids.read(9)).isEmpty();
        TokenCache labels = kept("2".repeat(64), new Example(new int[] {1, 2, 3}, new int[] {-100, 0, 9}));
        assertThat(labels.read(10).orElseThrow().get(0).labels()).containsExactly(-100, 0, 9);
        assertThat(labels.read(9)).isEmpty();
    }

    private TokenCache kept(String fingerprint, Example example) {
        TokenCache cache = new TokenCache(temp, fingerprint);
        cache.write(new Dataset(
                Dataset.of(List.of(example)).held(),
                Dataset.of(List.of(example)).report(),
                fingerprint));
        return cache;
    }

    @Test
    void aCacheThatCannotBeWrittenCostsNothing() throws IOException {
        Path occupied = Files.createFile(temp.resolve("occupied"));
        Path file = write(row("a question", "an answer"));
        assertThat(load(DataFormat.ALPACA, file, 64, occupied.resolve("cache")).size())
                .isEqualTo(1);
    }

    @Test
    void aShareForEvaluationIsDrawnBySeed() {
        Dataset all = Rows.dataset(100, 1);
        TrainingData data = TrainingData.split(all, 0.095, 7, null);
        Dataset eval = data.eval().orElseThrow();
        assertThat(eval.size()).isEqualTo(10);
        assertThat(data.train().size()).isEqualTo(90);
        assertThat(data.trainReport()).isEqualTo(all.report());
        List<String> both = new ArrayList<>();
        for (Dataset part : List.of(data.train(), eval)) {
            IntStream.range(0, part.size()).forEach(i -> both.add(text(part.get(i))));
        }
        assertThat(both)
                .containsExactlyInAnyOrderElementsOf(
                        IntStream.range(0, 100).mapToObj(i -> text(all.get(i))).toList());
        assertSame(TrainingData.split(all, 0.095, 7, null).eval().orElseThrow(), eval);
        assertThat(TrainingData.split(all, 0.095, 8, null).eval().orElseThrow().get(0))
                .isNotEqualTo(eval.get(0));
        assertThat(eval.report().tokens() + data.train().report().tokens())
                .isEqualTo(all.report().tokens());
        assertThat(eval.fingerprint()).isNotEqualTo(data.train().fingerprint()).isNotEqualTo(all.fingerprint());
        assertThatThrownBy(() -> TrainingData.split(Rows.dataset(1, 1), 0.5, 7, null))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("eval_fraction");
    }

    @Test
    void previewShowsEachTokensTextAndWhetherItIsLearned() throws IOException {
        Path file = write(row("the dog 🙂", "finds 🙂"), row("b", "c"), row("d", "e"));
        List<Preview> previews = Preview.rows(Rows.source(DataFormat.ALPACA, OnBadRow.ERROR, file), encoder(1000), 2);
        assertThat(previews).hasSize(2);
        Preview first = previews.get(0);
        assertThat(first.place()).isEqualTo(new RowPlace(file, 1));
        assertThat(String.join(
                        "", first.tokens().stream().map(Preview.Token::text).toList()))
                .isEqualTo("Human: the dog 🙂\n\nAssistant: finds 🙂</s>");
        assertThat(String.join(
                        "",
                        first.tokens().stream()
                                .filter(Preview.Token::learned)
                                .map(Preview.Token::text)
                                .toList()))
                .isEqualTo("finds 🙂</s>");
        assertThat(first.learned()).isEqualTo((int)
                first.tokens().stream().filter(Preview.Token::learned).count());
        assertThat(first.tokensCut()).isZero();
        Preview cut = Preview.rows(Rows.source(DataFormat.ALPACA, OnBadRow.ERROR, file), encoder(5), 1)
                .get(0);
        assertThat(cut.tokens()).hasSize(5);
        assertThat(cut.tokensCut()).isEqualTo(first.tokens().size() - 5);
        assertThat(cut.learned()).isZero();
    }

    @Test
    void previewStopsAtItsCount_inArraysAndBetweenFiles() throws IOException {
        Path array = Files.writeString(temp.resolve("rows.json"), "[" + row("a", "b") + ",\n" + row("c", "d") + ", 7}");
        Path lines = write(row("e", "f"), "damaged");
        DataSource source = Rows.source(DataFormat.ALPACA, OnBadRow.ERROR, array, lines);
        assertThat(Preview.rows(source, encoder(100), 2))
                .extracting(Preview::place)
                .containsExactly(new RowPlace(array, 1), new RowPlace(array, 2));
        assertThat(Preview.rows(Rows.source(DataFormat.ALPACA, OnBadRow.ERROR, lines), encoder(100), 1))
                .hasSize(1);
    }

    @Test
    void previewNeverShowsTheFirstTokenAsLearned_norLosesWhatACutLeaves() throws IOException {
        Path file = Files.writeString(temp.resolve("text.jsonl"), "{\"text\": \"the dog \uD83D\uDE42\"}");
        DataSource source = Rows.source(DataFormat.TEXT, OnBadRow.ERROR, file);
        Preview whole = Preview.rows(source, encoder(100), 1).get(0);
        assertThat(whole.tokens().get(0).learned()).isFalse();
        assertThat(whole.tokens().subList(1, whole.tokens().size())).allMatch(Preview.Token::learned);
        // without EOS and the last byte of the character
        Preview cut =
                Preview.rows(source, encoder(whole.tokens().size() - 2), 1).get(0);
        assertThat(cut.tokens().get(cut.tokens().size() - 1).text()).contains("\uFFFD");
    }

    private static void assertSame(Dataset a, Dataset b) {
        assertThat(a.size()).isEqualTo(b.size());
        assertThat(a.fingerprint()).isEqualTo(b.fingerprint());
        for (int i = 0; i < a.size(); i++) {
            assertThat(text(a.get(i))).isEqualTo(text(b.get(i)));
        }
    }

    private static String text(Example example) {
        return java.util.Arrays.toString(example.inputIds()) + java.util.Arrays.toString(example.labels());
    }

    private Dataset load(DataFormat format, Path file, int maxLength, Path cache) {
        return Dataset.load(Rows.source(format, OnBadRow.ERROR, file), encoder(maxLength), Optional.of(cache));
    }

    private RowEncoder encoder(int maxLength) {
        return encoder(Template.HUMAN_ASSISTANT, new RowEncoder.Settings(false, maxLength, false, false));
    }

    private RowEncoder encoder(Template template, RowEncoder.Settings settings) {
        return new RowEncoder(tokenizer, template, settings);
    }

    private static Path only(Path directory) throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            List<Path> all = files.toList();
            assertThat(all).hasSize(1);
            return all.get(0);
        }
    }

    private static String row(String instruction, String output) {
        return "{\"instruction\": \"" + instruction + "\", \"output\": \"" + output + "\"}";
    }

    private Path write(String... lines) throws IOException {
        return Files.write(temp.resolve("rows.jsonl"), List.of(lines));
    }
}
