package io.github.qlora4j.trainer.tokenizer;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import io.github.qlora4j.quant.QloraException;
import java.nio.file.Path;
import java.util.List;

/**
 * What a {@code tokenizer.json} must not have: the Rust library takes it when it opens the file and ends the whole process
 * when it meets it later. Found by opening files with parts changed at random.
 */
final class TokenizerJson {

    private TokenizerJson() {}

    static void check(Path file, JsonObject root) {
        checkValues(file, root);
        if (root.get("post_processor") instanceof JsonObject processor) {
            checkProcessor(file, processor);
        }
        if (root.get("model") instanceof JsonObject model
                && JsonFile.isString(model.get("continuing_subword_prefix"))
                && model.get("merges") instanceof JsonArray merges) {
            checkPrefix(file, model.get("continuing_subword_prefix").getAsString(), merges);
        }
    }

    /** A number beyond the doubles, or half of a surrogate pair, is JSON, but not for the library. */
    private static void checkValues(Path file, JsonElement value) {
        if (value instanceof JsonObject object) {
            object.asMap().forEach((key, each) -> {
                checkText(file, key);
                checkValues(file, each);
            });
        } else if (value instanceof JsonArray array) {
            array.forEach(each -> checkValues(file, each));
        } else if (JsonFile.isString(value)) {
            checkText(file, value.getAsString());
        } else if (value instanceof JsonPrimitive number
                && number.isNumber()
                && !Double.isFinite(number.getAsDouble())) {
            throw new QloraException(file + ": the number " + JsonFile.show(number)
                    + " is too large. Copy the file anew from where the model came from.");
        }
    }

    private static void checkText(Path file, String text) {
        for (int i = 0; i < text.length(); i++) {
            if (Character.isSurrogate(text.charAt(i))) {
                if (i + 1 == text.length() || !Character.isSurrogatePair(text.charAt(i), text.charAt(i + 1))) {
                    throw new QloraException(
                            file + ": the text " + JsonFile.show(new JsonPrimitive(text))
                                    + " has half of a surrogate pair in it. Copy the file anew from where the model came from.");
                }
                i++;
            }
        }
    }

    /** The library cuts as many bytes as the prefix has off the second part of each merge. */
    private static void checkPrefix(Path file, String prefix, JsonArray merges) {
        for (JsonElement merge : merges) {
            String second = null;
            if (merge instanceof JsonArray pair && pair.size() == 2 && JsonFile.isString(pair.get(1))) {
                second = pair.get(1).getAsString();
            } else if (JsonFile.isString(merge)) {
                second = merge.getAsString().substring(merge.getAsString().indexOf(' ') + 1);
            }
            if (second != null && !second.startsWith(prefix)) {
                throw new QloraException(file + ": model.merges has " + merge
                        + ", whose second part does not begin with"
                        + " continuing_subword_prefix \"" + prefix + "\". Copy the file anew from where the model came"
                        + " from.");
            }
        }
    }

    private static void checkProcessor(Path file, JsonObject processor) {
        if (processor.get("processors") instanceof JsonArray several) {
            for (JsonElement each : several) {
                if (each instanceof JsonObject one) {
                    checkProcessor(file, one);
                }
            }
        }
        if (processor.get("single") instanceof JsonArray single
                && single.asList().stream().noneMatch(TokenizerJson::isText)) {
            throw new QloraException(
                    file + ": post_processor.single has no place for the text (a Sequence). Copy the file"
                            + " anew from where the model came from.");
        }
        JsonObject known = processor.get("special_tokens") instanceof JsonObject map ? map : new JsonObject();
        for (String key : List.of("single", "pair")) {
            JsonArray pieces = processor.get(key) instanceof JsonArray list ? list : new JsonArray();
            for (JsonElement piece : pieces) {
                if (piece instanceof JsonObject p
                        && p.get("SpecialToken") instanceof JsonObject token
                        && JsonFile.isString(token.get("id"))
                        && !known.has(token.get("id").getAsString())) {
                    throw new QloraException(file + ": post_processor." + key + " names " + token.get("id")
                            + ", which is not in its \"special_tokens\". Copy the file anew from where the model came"
                            + " from.");
                }
            }
        }
    }

    private static boolean isText(JsonElement piece) {
        return piece instanceof JsonObject object && object.has("Sequence");
    }
}
