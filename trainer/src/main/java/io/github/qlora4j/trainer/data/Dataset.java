package io.github.qlora4j.trainer.data;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.trainer.tokenizer.Tokenizer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * Tokenized rows that have something to learn, in file order.
 *
 * <p>Held as ids and, for a row of prompt and answer, where the answer begins: four bytes a token. Immutable.
 */
public final class Dataset {

    /** A row as it is held: {@code labels} only where they are not "masked, then the ids from {@code learnedFrom} on". */
    record Held(int[] ids, int learnedFrom, int[] labels) {

        static Held of(Example example) {
            int[] ids = example.inputIds();
            int[] labels = example.labels();
            int from = 0;
            while (from < labels.length && labels[from] == Example.MASKED) {
                from++;
            }
            boolean plain = Arrays.equals(ids, from, ids.length, labels, from, labels.length);
            return new Held(ids, from, plain ? null : labels);
        }

        Example example() {
            if (labels != null) {
                return new Example(ids, labels);
            }
            int[] plain = ids.clone();
            Arrays.fill(plain, 0, learnedFrom, Example.MASKED);
            return new Example(ids, plain);
        }
    }

    private final List<Held> rows;
    private final DataReport report;
    private final String fingerprint;

    Dataset(List<Held> rows, DataReport report, String fingerprint) {
        this.rows = List.copyOf(rows);
        this.report = report;
        this.fingerprint = fingerprint;
    }

    /** A dataset of rows that are there already; those with nothing to learn are left out and counted. */
    public static Dataset of(List<Example> examples) {
        DatasetBuilder builder = new DatasetBuilder();
        examples.forEach(e -> builder.add(new RowEncoder.Encoded(e, e.length(), e.learned())));
        return builder.build(0, "", Fingerprint.of(examples));
    }

    /**
     * Reads, tokenizes and counts the rows of a source, or takes them from the cache, where the same files, template,
     * tokenizer and settings were tokenized before.
     *
     * @param cacheDir where tokenized rows are kept; nothing is kept where it is empty
     * @throws QloraException if a file or row cannot be used, or no row has anything to learn
     */
    public static Dataset load(DataSource source, RowEncoder encoder, Optional<Path> cacheDir) {
        List<Path> files = FilePatterns.resolve(source.key(), source.files());
        String fingerprint = Fingerprint.of(source, files, encoder);
        Optional<TokenCache> cache = cacheDir.map(dir -> new TokenCache(dir, fingerprint));
        Tokenizer tokenizer = encoder.tokenizer();
        int vocabSize = Math.max(tokenizer.vocabSize(), tokenizer.modelVocabSize());
        Optional<Dataset> kept = cache.flatMap(c -> c.read(vocabSize));
        if (kept.isPresent()) {
            return kept.get();
        }
        DatasetBuilder builder = new DatasetBuilder();
        RowFiles reader = new RowFiles(
                new RowFields(source.format(), source.fields(), tokenizer.modelVocabSize()), source.onBadRow());
        for (Path file : files) {
            reader.read(file, (row, place) -> {
                builder.add(encode(encoder, row, place));
                return true;
            });
        }
        Dataset dataset =
                builder.build(reader.badRows(), reader.firstBadRow() == null ? "" : reader.firstBadRow(), fingerprint);
        if (dataset.size() == 0) {
            throw nothing(source, files, encoder, dataset.report);
        }
        cache.ifPresent(c -> c.write(dataset));
        return dataset;
    }

    static RowEncoder.Encoded encode(RowEncoder encoder, Row row, RowPlace place) {
        try {
            return encoder.encode(row);
        } catch (QloraException e) {
            throw new BadRowException(place + ": " + e.getMessage());
        }
    }

    private static QloraException nothing(DataSource source, List<Path> files, RowEncoder encoder, DataReport report) {
        String of = source.key() + " (" + files.get(0)
                + (files.size() > 1 ? " and " + (files.size() - 1) + " more" : "") + ")";
        if (report.rowsRead() == 0) {
            return new QloraException(of + " has no rows: there is nothing to learn");
        }
        return new QloraException(String.format(
                Locale.ROOT,
                "%s: nothing can be learned: of %,d rows %,d are bad and %,d have nothing left to learn after cutting to"
                        + " max_length %,d.%s Raise data.max_length, or see what a row becomes: qlora preview CONFIG",
                of,
                report.rowsRead(),
                report.badRows(),
                report.nothingToLearn(),
                encoder.settings().maxLength(),
                report.firstBadRow().isEmpty() ? "" : " The first bad row: " + report.firstBadRow() + "."));
    }

    /** The number of rows. */
    public int size() {
        return rows.size();
    }

    /** A row, from 0; its {@code inputIds} are shared and must not be changed. */
    public Example get(int row) {
        return rows.get(row).example();
    }

    /** The number of tokens of a row. */
    public int length(int row) {
        return rows.get(row).ids().length;
    }

    /** The largest token id of all rows, labels included; it must be below the model's vocab_size. */
    public int largestId() {
        return rows.stream()
                .flatMapToInt(row -> row.labels() == null
                        ? Arrays.stream(row.ids())
                        : IntStream.concat(Arrays.stream(row.ids()), Arrays.stream(row.labels())))
                .max()
                .orElse(0);
    }

    /** What became of the rows of the files. */
    public DataReport report() {
        return report;
    }

    /** The SHA-256, in hex, of all that decided these rows: files, template, tokenizer, settings. */
    public String fingerprint() {
        return fingerprint;
    }

    List<Held> held() {
        return rows;
    }

    /** Some of the rows, in the order given; counts of rows that are not in a dataset stay with the whole. */
    Dataset subset(int[] of, String name) {
        DatasetBuilder builder = new DatasetBuilder();
        List<Held> chosen = new ArrayList<>(of.length);
        for (int row : of) {
            chosen.add(rows.get(row));
            builder.count(rows.get(row));
        }
        DataReport counted = builder.report(0, "");
        return new Dataset(chosen, counted, Fingerprint.of(fingerprint + "\n" + name));
    }
}
