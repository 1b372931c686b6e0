package io.github.qlora4j.trainer.data;

import java.nio.file.Path;

/**
 * Where a row stands.
 *
 * @param file the data file
 * @param line the line the row begins on, from 1
 */
public record RowPlace(Path file, int line) {

    @Override
    public String toString() {
        return file + ":" + line;
    }
}
