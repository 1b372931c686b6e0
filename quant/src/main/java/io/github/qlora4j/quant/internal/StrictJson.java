package io.github.qlora4j.quant.internal;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import com.google.gson.Strictness;
import com.google.gson.internal.LazilyParsedNumber;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import com.google.gson.stream.MalformedJsonException;
import io.github.qlora4j.quant.QloraException;
import java.io.IOException;
import java.io.Reader;
import java.io.StringReader;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Reads JSON by the letter: no comments, no duplicate keys, nothing after the value, UTF-8 only.
 *
 * <p>Gson's own parser keeps the last of two equal keys, so two programs can read one file differently. Every error is
 * a {@link QloraException} that begins with what the caller says is being read.
 */
public final class StrictJson {

    /** No file of a model directory that is read whole comes near this. */
    private static final long MAX_FILE_BYTES = 256L << 20;

    private StrictJson() {}

    /** Reads a file that holds one JSON object. */
    public static JsonObject readObject(Path file) {
        byte[] bytes;
        try {
            long size = Files.size(file);
            if (size > MAX_FILE_BYTES) {
                throw new QloraException(
                        file + ": " + size + " bytes is too large for a JSON file of a model; 256 MiB is the most");
            }
            bytes = Files.readAllBytes(file);
        } catch (IOException e) {
            throw new QloraException(file + ": cannot be read: " + Reason.of(e), e);
        }
        return parseObject(bytes, file.toString());
    }

    /** Reads one JSON object from UTF-8 bytes; {@code where} begins every error. */
    public static JsonObject parseObject(byte[] utf8, String where) {
        JsonElement value;
        try (JsonReader reader = reader(new StringReader(decode(utf8)))) {
            value = element(reader, where);
            end(reader, where);
        } catch (IOException | IllegalStateException | NumberFormatException e) {
            throw malformed(where, e);
        }
        if (!value.isJsonObject()) {
            throw new QloraException(where + ": a JSON object was expected, found " + kind(value));
        }
        return value.getAsJsonObject();
    }

    /** Opens a strict streaming reader. */
    public static JsonReader reader(Reader source) {
        JsonReader reader = new JsonReader(source);
        reader.setStrictness(Strictness.STRICT);
        return reader;
    }

    /** Decodes UTF-8, refusing bytes that are not. */
    public static String decode(byte[] utf8) throws CharacterCodingException {
        return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(utf8)).toString();
    }

    /** Checks that nothing but white space follows. */
    public static void end(JsonReader reader, String where) throws IOException {
        boolean ended;
        try {
            ended = reader.peek() == JsonToken.END_DOCUMENT;
        } catch (MalformedJsonException e) {
            ended = false;
        }
        if (!ended) {
            throw new QloraException(where + ": something follows the JSON value");
        }
    }

    /** What the user is told about a text that is not JSON. */
    public static QloraException malformed(String where, Exception e) {
        return new QloraException(where + ": not valid JSON: " + Reason.ofJson(e), e);
    }

    private static JsonElement element(JsonReader reader, String where) throws IOException {
        switch (reader.peek()) {
            case BEGIN_OBJECT -> {
                JsonObject object = new JsonObject();
                reader.beginObject();
                while (reader.hasNext()) {
                    String key = reader.nextName();
                    if (object.has(key)) {
                        throw new QloraException(where + ": the key \"" + key + "\" stands twice");
                    }
                    object.add(key, element(reader, where));
                }
                reader.endObject();
                return object;
            }
            case BEGIN_ARRAY -> {
                JsonArray array = new JsonArray();
                reader.beginArray();
                while (reader.hasNext()) {
                    array.add(element(reader, where));
                }
                reader.endArray();
                return array;
            }
            case STRING -> {
                return new JsonPrimitive(reader.nextString());
            }
            case NUMBER -> {
                return new JsonPrimitive(new LazilyParsedNumber(reader.nextString()));
            }
            case BOOLEAN -> {
                return new JsonPrimitive(reader.nextBoolean());
            }
            case NULL -> {
                reader.nextNull();
                return JsonNull.INSTANCE;
            }
            default -> throw new IllegalStateException("a value was expected, found " + Reason.kind(reader.peek()));
        }
    }

    private static String kind(JsonElement value) {
        if (value.isJsonArray()) {
            return "an array";
        }
        return value.isJsonNull() ? "null" : value.toString();
    }
}
