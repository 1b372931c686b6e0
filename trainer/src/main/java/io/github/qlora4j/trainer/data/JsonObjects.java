package io.github.qlora4j.trainer.data;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import com.google.gson.stream.MalformedJsonException;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.Reason;
import java.io.IOException;
import java.io.StringReader;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * The objects of a JSON array or of JSONL, whole, for rows that are written back with something added.
 *
 * @param value all fields, in order
 * @param place where it begins
 */
public record JsonObjects(JsonObject value, RowPlace place) {

    /**
     * Reads a file; which of the two it is, its first character says.
     *
     * @throws QloraException with file and line if it cannot be read, or a row is no object
     */
    public static List<JsonObjects> read(Path file) {
        List<JsonObjects> rows = new ArrayList<>();
        int number = 0;
        try (Utf8Lines lines = Utf8Lines.open(file)) {
            StringBuilder whole = new StringBuilder();
            boolean array = false;
            boolean begun = false;
            for (byte[] line = lines.next(); line != null; line = lines.next()) {
                number = lines.number();
                String text = Utf8Lines.decode(line);
                if (!begun && !text.isBlank()) {
                    begun = true;
                    array = text.stripLeading().startsWith("[");
                }
                if (array) {
                    whole.append(text).append('\n');
                } else if (begun && !text.isBlank()) {
                    rows.add(one(text, new RowPlace(file, number)));
                } else if (!begun) {
                    whole.append('\n');
                }
            }
            return array ? array(whole.toString(), file) : rows;
        } catch (CharacterCodingException e) {
            throw new QloraException(file + ":" + number + ": this line is not UTF-8. Save the file as UTF-8.", e);
        } catch (IOException e) {
            throw new QloraException(
                    Files.exists(file)
                            ? file + ": cannot be read: " + Reason.of(e)
                            : file + ": there is no such file (looked in "
                                    + Path.of("").toAbsolutePath() + ")",
                    e);
        }
    }

    private static JsonObjects one(String text, RowPlace place) {
        try {
            JsonReader reader = JsonRow.strict(new StringReader(text));
            JsonElement value = JsonParser.parseReader(reader);
            if (ended(reader) && value instanceof JsonObject object) {
                return new JsonObjects(object, place);
            }
        } catch (IOException | JsonParseException | IllegalStateException e) {
            throw new QloraException(place + ": damaged JSON; JSONL has one whole object, {…}, a line", e);
        }
        throw new QloraException(place + ": expected one object, {…}, a line");
    }

    private static List<JsonObjects> array(String text, Path file) {
        List<JsonObjects> rows = new ArrayList<>();
        JsonReader reader = JsonRow.strict(new StringReader(text));
        try {
            reader.beginArray();
            while (reader.hasNext()) {
                reader.peek();
                RowPlace place = new RowPlace(file, JsonRow.line(reader));
                if (!(JsonParser.parseReader(reader) instanceof JsonObject object)) {
                    throw new QloraException(place + ": expected an object, {…}, as a row");
                }
                rows.add(new JsonObjects(object, place));
            }
            reader.endArray();
            if (!ended(reader)) {
                throw new QloraException(file + ":" + JsonRow.line(reader) + ": there is more behind the array's ]");
            }
            return rows;
        } catch (IOException | JsonParseException | IllegalStateException e) {
            throw new QloraException(file + ":" + JsonRow.line(reader) + ": damaged JSON, or it ends too early", e);
        }
    }

    /** Gson's strict reader throws where something follows. */
    private static boolean ended(JsonReader reader) throws IOException {
        try {
            return reader.peek() == JsonToken.END_DOCUMENT;
        } catch (MalformedJsonException e) {
            return false;
        }
    }

    /** The row's place and a field of it, as messages begin. */
    public QloraException wrong(String field, String expected) {
        return new QloraException(place + ": field \"" + field + "\": " + expected
                + (value.has(field) ? ", found " + shown(value.get(field)) : ", but it is missing"));
    }

    /** A field that must be text. */
    public String text(String field) {
        if (value.get(field) instanceof com.google.gson.JsonPrimitive text && text.isString()) {
            return text.getAsString();
        }
        throw wrong(field, "expected text");
    }

    /** A field that is text, or is empty where it is missing or null. */
    public String textOrEmpty(String field) {
        return !value.has(field) || value.get(field).isJsonNull() ? "" : text(field);
    }

    private static String shown(JsonElement value) {
        String text = value.toString();
        return text.length() <= 60 ? text : text.substring(0, 60) + "…";
    }
}
