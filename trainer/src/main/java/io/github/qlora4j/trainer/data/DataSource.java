package io.github.qlora4j.trainer.data;

import io.github.qlora4j.trainer.config.DataFormat;
import io.github.qlora4j.trainer.config.DataSection;
import io.github.qlora4j.trainer.config.FieldNames;
import io.github.qlora4j.trainer.config.OnBadRow;
import java.util.List;

/**
 * Where rows come from.
 *
 * @param key the configuration key or command-line option that names the files, for messages
 * @param files file names and globs
 * @param format what a row looks like
 * @param fields what its fields are called
 * @param onBadRow what happens to a row that cannot be used
 */
public record DataSource(String key, List<String> files, DataFormat format, FieldNames fields, OnBadRow onBadRow) {

    /** Takes a copy of the list. */
    public DataSource {
        files = List.copyOf(files);
    }

    /** The training rows of a configuration. */
    public static DataSource train(DataSection data) {
        return new DataSource("data.train", data.train(), data.format(), data.fields(), data.onBadRow());
    }

    /** The evaluation rows of a configuration that names files for them. */
    public static DataSource eval(DataSection data) {
        return new DataSource("data.eval", data.eval(), data.format(), data.fields(), data.onBadRow());
    }
}
