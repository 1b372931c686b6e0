package io.github.qlora4j.trainer.tokenizer;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.Reason;
import io.github.qlora4j.quant.internal.StrictJson;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.OptionalInt;

/** Small JSON files, read strictly; every error names the file. */
final class JsonFile {

    private static final long MAX_BYTES = 512L << 20;

    private JsonFile() {}

    static byte[] bytes(Path file) {
        try {
            if (Files.size(file) > MAX_BYTES) {
                throw new QloraException(file + ": " + Files.size(file) + " bytes; expected at most " + MAX_BYTES);
            }
            return Files.readAllBytes(file);
        } catch (IOException e) {
            throw new QloraException(file + ": cannot be read: " + Reason.of(e), e);
        }
    }

    /** The object in a file; an empty one where there is no such file. */
    static JsonObject optional(Path file) {
        return Files.isRegularFile(file) ? parse(file, bytes(file)) : new JsonObject();
    }

    static JsonObject parse(Path file, byte[] json) {
        try {
            return StrictJson.parseObject(json, file.toString());
        } catch (QloraException e) {
            throw new QloraException(e.getMessage() + ". Copy it anew from where the model came from.", e);
        }
    }

    static boolean isString(JsonElement value) {
        return value instanceof JsonPrimitive p && p.isString();
    }

    static OptionalInt integer(JsonElement value) {
        if (value instanceof JsonPrimitive p && p.isNumber()) {
            double number = p.getAsDouble();
            if (number == Math.rint(number) && Math.abs(number) <= Integer.MAX_VALUE) {
                return OptionalInt.of((int) number);
            }
        }
        return OptionalInt.empty();
    }

    static String show(JsonElement value) {
        String text = String.valueOf(value);
        return text.length() <= 60 ? text : text.substring(0, 60) + "…";
    }

    static String sha256(byte[] bytes) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }
}
