package io.github.qlora4j.trainer.model;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.Reason;
import io.github.qlora4j.quant.internal.StrictJson;
import java.io.IOException;
import java.math.BigDecimal;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.stream.StreamSupport;

/** A JSON object of {@code config.json} whose keys are asked for by type; errors name the file and the key. */
final class ConfigJson {

    private static final long LARGEST_FILE = 16L << 20;

    private final Path file;
    private final String prefix;
    private final JsonObject object;

    private ConfigJson(Path file, String prefix, JsonObject object) {
        this.file = file;
        this.prefix = prefix;
        this.object = object;
    }

    static ConfigJson read(Path file) {
        try {
            if (Files.size(file) > LARGEST_FILE) {
                throw new QloraException(file + ": " + Files.size(file) + " bytes; a config.json is at most 16 MB");
            }
            return new ConfigJson(file, "", StrictJson.readObject(file));
        } catch (NoSuchFileException e) {
            throw new QloraException(
                    file + ": not found; a model directory holds config.json, tokenizer.json and *.safetensors", e);
        } catch (IOException e) {
            throw new QloraException(file + ": cannot be read: " + Reason.of(e), e);
        }
    }

    JsonObject json() {
        return object;
    }

    boolean has(String key) {
        return object.has(key) && !object.get(key).isJsonNull();
    }

    /** A whole number, with a default where the key is not there at all, and another meaning of null. */
    int integer(String key, int least, int orElse, int ifNull) {
        return object.has(key) && !has(key) ? ifNull : integer(key, least, orElse);
    }

    String string(String key, String orElse) {
        Optional<JsonPrimitive> value = primitive(key, "a string");
        if (value.isPresent() && !value.get().isString()) {
            throw wrong(key, "a string");
        }
        return value.map(JsonPrimitive::getAsString).orElse(orElse);
    }

    boolean bool(String key, boolean orElse) {
        Optional<JsonPrimitive> value = primitive(key, "true or false");
        if (value.isPresent() && !value.get().isBoolean()) {
            throw wrong(key, "true or false");
        }
        return value.map(JsonPrimitive::getAsBoolean).orElse(orElse);
    }

    int integer(String key, int least, int orElse) {
        return has(key) ? integer(key, least) : orElse;
    }

    int integer(String key, int least) {
        return within(key, least, Integer.MAX_VALUE, "a whole number of at least " + least);
    }

    /** A size that memory and time grow with: what no model comes near is damage, and is not believed. */
    int size(String key, int most) {
        return within(key, 1, most, "a whole number from 1 to " + most);
    }

    private int within(String key, int least, int most, String expected) {
        JsonPrimitive value = primitive(key, expected).orElseThrow(() -> missing(key));
        try {
            int n = new BigDecimal(value.getAsString()).intValueExact();
            if (value.isNumber() && n >= least && n <= most) {
                return n;
            }
        } catch (ArithmeticException | NumberFormatException e) {
            throw wrong(key, expected);
        }
        throw wrong(key, expected);
    }

    double number(String key, double orElse) {
        return has(key) ? number(key) : orElse;
    }

    double number(String key) {
        JsonPrimitive value = primitive(key, "a number").orElseThrow(() -> missing(key));
        if (!value.isNumber() || !Double.isFinite(value.getAsDouble())) {
            throw wrong(key, "a finite number");
        }
        return value.getAsDouble();
    }

    double positive(String key, double orElse) {
        double value = number(key, orElse);
        if (!(value > 0)) {
            throw wrong(key, "a number above 0");
        }
        return value;
    }

    Optional<List<String>> strings(String key) {
        if (!has(key)) {
            return Optional.empty();
        }
        if (!(object.get(key) instanceof JsonArray array)
                || !StreamSupport.stream(array.spliterator(), false)
                        .allMatch(e ->
                                e.isJsonPrimitive() && e.getAsJsonPrimitive().isString())) {
            throw wrong(key, "a list of strings");
        }
        return Optional.of(StreamSupport.stream(array.spliterator(), false)
                .map(JsonElement::getAsString)
                .toList());
    }

    Optional<ConfigJson> object(String key) {
        if (!has(key)) {
            return Optional.empty();
        }
        if (!object.get(key).isJsonObject()) {
            throw wrong(key, "an object");
        }
        return Optional.of(new ConfigJson(file, prefix + key + ".", object.getAsJsonObject(key)));
    }

    QloraException wrong(String key, String expected) {
        return new QloraException(
                file + ": " + prefix + key + ": expected " + expected + ", got " + shorten(object.get(key)));
    }

    QloraException missing(String key) {
        return new QloraException(file + ": " + prefix + key + " is missing");
    }

    private Optional<JsonPrimitive> primitive(String key, String expected) {
        if (!has(key)) {
            return Optional.empty();
        }
        if (!object.get(key).isJsonPrimitive()) {
            throw wrong(key, expected);
        }
        return Optional.of(object.getAsJsonPrimitive(key));
    }

    private static String shorten(JsonElement value) {
        String text = String.valueOf(value);
        return text.length() > 80 ? text.substring(0, 80) + "…" : text;
    }
}
