package io.github.qlora4j.trainer.data;

import io.github.qlora4j.trainer.config.DataFormat;
import io.github.qlora4j.trainer.config.FieldNames;
import io.github.qlora4j.trainer.config.OnBadRow;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/** Rows for tests. */
final class Rows {

    private Rows() {}

    static List<Row> read(Path file, DataFormat format) {
        return read(file, format, OnBadRow.ERROR);
    }

    static List<Row> read(Path file, DataFormat format, OnBadRow onBadRow) {
        List<Row> rows = new ArrayList<>();
        new RowFiles(new RowFields(format, FieldNames.DEFAULT, 100), onBadRow)
                .read(file, (row, place) -> rows.add(row));
        return rows;
    }

    static DataSource source(DataFormat format, OnBadRow onBadRow, Path... files) {
        List<String> names = new ArrayList<>();
        for (Path file : files) {
            names.add(file.toString());
        }
        return new DataSource("data.train", names, format, FieldNames.DEFAULT, onBadRow);
    }

    /** A row of prompt and answer whose ids are drawn at random. */
    static Example example(int length, int masked, Random random) {
        int[] ids = random.ints(length, 5, 400).toArray();
        int[] labels = ids.clone();
        java.util.Arrays.fill(labels, 0, masked, Example.MASKED);
        return new Example(ids, labels);
    }

    static Dataset dataset(int rows, long seed) {
        Random random = new Random(seed);
        List<Example> examples = new ArrayList<>();
        for (int i = 0; i < rows; i++) {
            int length = 2 + random.nextInt(60);
            examples.add(example(length, random.nextInt(length - 1), random));
        }
        return Dataset.of(examples);
    }
}
