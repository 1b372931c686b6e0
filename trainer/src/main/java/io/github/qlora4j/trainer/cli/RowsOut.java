package io.github.qlora4j.trainer.cli;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.Reason;
import io.github.qlora4j.quant.internal.Unfinished;
import java.io.BufferedWriter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Locale;

/**
 * Rows into a file: a JSON array where its name ends in {@code .json}, else JSONL. They are written beside it, and moved
 * into place when all are there; without {@link #finish} nothing is left.
 */
final class RowsOut implements AutoCloseable {
    private static final Gson GSON =
            new GsonBuilder().disableHtmlEscaping().serializeNulls().create();

    private final Path file;
    private final Path beside;
    private final boolean array;
    private final BufferedWriter writer;
    private boolean any;

    RowsOut(Path file) {
        this.file = file;
        this.beside = file.resolveSibling(file.getFileName() + ".tmp");
        this.array = file.getFileName().toString().toLowerCase(Locale.ROOT).endsWith(".json");
        if (Files.isDirectory(file)) {
            throw new WrongUse("--output " + file + " is a directory; a file is expected");
        }
        Unfinished.add(beside);
        try {
            writer = Files.newBufferedWriter(beside);
        } catch (IOException e) {
            throw cannot(e);
        }
    }

    void write(JsonObject row) {
        try {
            writer.write(array ? any ? ",\n" : "[\n" : "");
            writer.write(GSON.toJson(row));
            writer.write(array ? "" : "\n");
            any = true;
        } catch (IOException e) {
            throw cannot(e);
        }
    }

    void finish() {
        try {
            if (array) {
                writer.write(any ? "\n]\n" : "[]\n");
            }
            writer.close();
            Files.move(beside, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } catch (IOException e) {
            throw cannot(e);
        }
    }

    private QloraException cannot(IOException e) {
        return new QloraException("--output " + file + ": cannot be written: " + Reason.of(e), e);
    }

    @Override
    public void close() {
        try {
            writer.close();
        } catch (IOException e) {
            // what was to be said of the file was said when it was written
        }
        try {
            Files.deleteIfExists(beside);
        } catch (IOException e) {
            throw cannot(e);
        } finally {
            Unfinished.remove(beside);
        }
    }
}
