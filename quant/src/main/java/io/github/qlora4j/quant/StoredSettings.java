package io.github.qlora4j.quant;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import java.util.Locale;

/** A {@code quantization_config}, each value checked as it is read. */
record StoredSettings(JsonObject json, String where) {

    QloraException wrong(String key, String expected) {
        return new QloraException(where + ": " + key + ": " + expected + " is expected, found " + json.get(key));
    }

    boolean has(String key) {
        return json.has(key) && !json.get(key).isJsonNull();
    }

    void require(String key) {
        if (!has(key)) {
            throw new QloraException(where + ": " + key + " is missing");
        }
    }

    int integer(String key, int orElse) {
        if (!has(key)) {
            return orElse;
        }
        try {
            return Integer.parseInt(json.get(key).toString());
        } catch (NumberFormatException e) {
            throw wrong(key, "a whole number");
        }
    }

    boolean flag(String key, boolean orElse) {
        if (!has(key)) {
            return orElse;
        }
        JsonElement value = json.get(key);
        if (!(value instanceof JsonPrimitive primitive) || !primitive.isBoolean()) {
            throw wrong(key, "true or false");
        }
        return value.getAsBoolean();
    }

    double number(String key, double orElse) {
        if (!has(key)) {
            return orElse;
        }
        try {
            return Double.parseDouble(json.get(key).toString());
        } catch (NumberFormatException e) {
            throw wrong(key, "a number");
        }
    }

    /** A word in lower case; empty where the value is no word. */
    String text(String key) {
        JsonElement value = json.get(key);
        return value.isJsonPrimitive() ? value.getAsString().toLowerCase(Locale.ROOT) : "";
    }
}
