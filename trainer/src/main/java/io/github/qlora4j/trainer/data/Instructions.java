package io.github.qlora4j.trainer.data;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Questions and their answers as text, for asking a model. */
public final class Instructions {

    private Instructions() {}

    /**
     * All rows of a source in Alpaca's format.
     *
     * @throws io.github.qlora4j.quant.QloraException if a file or row cannot be used
     */
    public static List<Row.Instruction> read(DataSource source) {
        List<Row.Instruction> rows = new ArrayList<>();
        RowFiles reader =
                new RowFiles(new RowFields(source.format(), source.fields(), Integer.MAX_VALUE), source.onBadRow());
        for (Path file : FilePatterns.resolve(source.key(), source.files())) {
            reader.read(file, (row, place) -> {
                if (row instanceof Row.Instruction instruction) {
                    rows.add(instruction);
                }
                return true;
            });
        }
        return rows;
    }
}
