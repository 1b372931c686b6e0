package io.github.qlora4j.trainer.data;

import java.util.ArrayList;
import java.util.List;

/** Takes tokenized rows, keeps those that have something to learn, and counts. */
final class DatasetBuilder {

    private final List<Dataset.Held> rows = new ArrayList<>();
    private long nothingToLearn;
    private long answersCut;
    private int counted;
    private long tokens;
    private long learned;
    private int longest;

    void add(RowEncoder.Encoded row) {
        if (row.example().learned() == 0) {
            nothingToLearn++;
            return;
        }
        if (row.answerCut()) {
            answersCut++;
        }
        Dataset.Held held = Dataset.Held.of(row.example());
        rows.add(held);
        count(held);
    }

    void count(Dataset.Held row) {
        counted++;
        tokens += row.ids().length;
        learned += row.labels() == null
                ? row.ids().length - Math.max(1, row.learnedFrom())
                : row.example().learned();
        longest = Math.max(longest, row.ids().length);
    }

    DataReport report(long badRows, String firstBadRow) {
        return new DataReport(
                counted + nothingToLearn + badRows,
                badRows,
                nothingToLearn,
                answersCut,
                counted,
                tokens,
                learned,
                longest,
                firstBadRow);
    }

    Dataset build(long badRows, String firstBadRow, String fingerprint) {
        return new Dataset(rows, report(badRows, firstBadRow), fingerprint);
    }
}
