package io.github.qlora4j.trainer.data;

import com.google.gson.JsonParseException;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import com.google.gson.stream.MalformedJsonException;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.Reason;
import io.github.qlora4j.trainer.config.OnBadRow;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.StringReader;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;

/**
 * Rows out of JSON arrays and JSONL, one at a time; which of the two a file is, its first character says.
 *
 * <p>A row that cannot be used is an error with file, line and field, or counted, as {@link OnBadRow} says. A JSON array
 * that is damaged between rows is always an error, because where its next row begins cannot be known.
 */
final class RowFiles {

    private static final Logger LOG = LogManager.getLogger(RowFiles.class);
    private static final int SHOWN = 5;

    private final RowFields fields;
    private final OnBadRow onBadRow;
    private long badRows;
    private String firstBadRow;

    /** Takes a row; false ends the reading. May throw {@link BadRowException}. */
    interface Sink {
        boolean take(Row row, RowPlace place);
    }

    RowFiles(RowFields fields, OnBadRow onBadRow) {
        this.fields = fields;
        this.onBadRow = onBadRow;
    }

    /** The rows that were left out because they could not be used. */
    long badRows() {
        return badRows;
    }

    /** What was wrong with the first of them, or {@code null}. */
    String firstBadRow() {
        return firstBadRow;
    }

    /** Reads a file's rows to its end, or until the sink has enough. */
    void read(Path file, Sink sink) {
        try {
            int first = firstCharacter(file);
            String name = file.getFileName().toString().toLowerCase(Locale.ROOT);
            if (first == '[') {
                readArray(file, sink);
            } else if (first == '{' || name.endsWith(".jsonl") || name.endsWith(".ndjson")) {
                readLines(file, sink);
            } else {
                throw new QloraException(file + ":1: " + (first < 0 ? "the file is empty" : "this is not JSON")
                        + "; expected a JSON array of objects, or JSONL, one object a line");
            }
        } catch (CharacterCodingException e) {
            throw new QloraException(
                    file + ":" + damagedLine(file) + ": this line is not UTF-8. Save the file as UTF-8.", e);
        } catch (IOException e) {
            throw new QloraException(file + ": cannot be read: " + Reason.of(e), e);
        }
    }

    private static int firstCharacter(Path file) throws IOException {
        try (InputStream in = Files.newInputStream(file)) {
            byte[] head = in.readNBytes(1 << 12);
            int at = 0;
            if (head.length > 1 && (head[0] & 0xFF) == 0x1F && (head[1] & 0xFF) == 0x8B) {
                throw new QloraException(file + ": this is compressed with gzip. Unpack it first: gunzip " + file);
            }
            if (head.length > 1 && (head[0] & 0xFF) + (head[1] & 0xFF) == 0x1FD) {
                throw new QloraException(file + ": this is UTF-16. Save the file as UTF-8.");
            }
            if (head.length > 2 && (head[0] & 0xFF) == 0xEF && (head[1] & 0xFF) == 0xBB && (head[2] & 0xFF) == 0xBF) {
                at = 3;
            }
            while (at < head.length && (head[at] == ' ' || head[at] >= '\t' && head[at] <= '\r')) {
                at++;
            }
            return at == head.length ? -1 : head[at];
        }
    }

    private void readArray(Path file, Sink sink) throws IOException {
        JsonReader reader = null;
        try (InputStream in = Files.newInputStream(file)) {
            // A decoder from a Charset object would put U+FFFD for what is not UTF-8.
            reader = JsonRow.strict(new InputStreamReader(in, StandardCharsets.UTF_8.newDecoder()));
            reader.beginArray();
            while (reader.hasNext()) {
                boolean object = JsonRow.atObject(reader);
                RowPlace place = new RowPlace(file, JsonRow.line(reader));
                JsonRow json = object ? JsonRow.read(reader, fields.wanted()) : null;
                if (!object) {
                    reader.skipValue();
                }
                if (!take(json, place, sink)) {
                    return;
                }
            }
            reader.endArray();
            if (reader.peek() != JsonToken.END_DOCUMENT) {
                throw new QloraException(file + ":" + JsonRow.line(reader) + ": there is more behind the array's ]");
            }
        } catch (CharacterCodingException e) {
            throw e;
        } catch (EOFException e) {
            throw ends(file, reader, e);
        } catch (JsonParseException | MalformedJsonException | IllegalStateException e) {
            if (e.getCause() instanceof CharacterCodingException coding) {
                throw coding;
            }
            if (e.getCause() instanceof EOFException) {
                throw ends(file, reader, e);
            }
            throw new QloraException(
                    file + ":" + JsonRow.line(reader) + ": damaged JSON: " + reason(e)
                            + ". What follows cannot be told apart, so on_bad_row: skip does not help; JSONL would.",
                    e);
        }
    }

    private static QloraException ends(Path file, JsonReader reader, Exception e) {
        return new QloraException(file + ":" + JsonRow.line(reader) + ": the file ends before its array does", e);
    }

    private void readLines(Path file, Sink sink) throws IOException {
        try (Utf8Lines lines = Utf8Lines.open(file)) {
            for (byte[] line = lines.next(); line != null; line = lines.next()) {
                RowPlace place = new RowPlace(file, lines.number());
                try {
                    String text = Utf8Lines.decode(line);
                    if (!text.isBlank() && !take(parse(text, place), place, sink)) {
                        return;
                    }
                } catch (CharacterCodingException e) {
                    bad(place + ": this line is not UTF-8. Save the file as UTF-8.");
                } catch (BadRowException e) {
                    bad(e.getMessage());
                }
            }
        }
    }

    private JsonRow parse(String text, RowPlace place) {
        JsonReader reader = JsonRow.strict(new StringReader(text));
        try {
            if (!JsonRow.atObject(reader)) {
                return null;
            }
            JsonRow row = JsonRow.read(reader, fields.wanted());
            if (reader.peek() != JsonToken.END_DOCUMENT) {
                throw new BadRowException(place + ": there is more behind the object; JSONL has one object a line");
            }
            // The line of a field is the file's, not the text's.
            row.fields().replaceAll((name, field) -> new JsonRow.Field(field.value(), place.line()));
            return row;
        } catch (IOException | JsonParseException | IllegalStateException e) {
            if (!(e instanceof EOFException) && !(e.getCause() instanceof EOFException)) {
                throw new BadRowException(
                        place + ": damaged JSON: " + reason(e) + "; JSONL has one whole object a line");
            }
            throw new BadRowException(
                    place + ": the line ends before its object does; JSONL has one whole object a line."
                            + " Objects over several lines must stand in an array, [ … ].");
        }
    }

    private boolean take(JsonRow json, RowPlace place, Sink sink) {
        try {
            if (json == null) {
                throw new BadRowException(place + ": expected an object, {…}, as a row");
            }
            return sink.take(fields.row(json, place), place);
        } catch (BadRowException e) {
            bad(e.getMessage());
            return true;
        }
    }

    private void bad(String message) {
        if (onBadRow == OnBadRow.ERROR) {
            throw new QloraException(message + " (data.on_bad_row: skip leaves such rows out)");
        }
        if (badRows++ == 0) {
            firstBadRow = message;
        }
        if (badRows <= SHOWN) {
            LOG.warn("Row left out: {}", message);
        }
    }

    private static int damagedLine(Path file) {
        try {
            return Math.max(1, Utf8Lines.firstDamaged(file));
        } catch (IOException e) {
            return 1;
        }
    }

    /** What is wrong, without the count of lines, which starts anew in each row of JSONL. */
    private static String reason(Exception e) {
        return Reason.ofJson(e).replaceFirst(" at line \\d+ column (\\d+) path (.*)", " at column $1, $2");
    }
}
