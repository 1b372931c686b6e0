package io.github.qlora4j.trainer.generate;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.StrictJson;
import java.math.BigDecimal;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;

/** The ids that end a text, of a model directory without a tokenizer. */
final class StopIds {

    private StopIds() {}

    /** {@code eos_token_id} of generation_config.json, or else of config.json. */
    static Set<Integer> of(Path directory) {
        for (String name : List.of("generation_config.json", "config.json")) {
            Path file = directory.resolve(name);
            JsonObject json = Files.isRegularFile(file) ? StrictJson.readObject(file) : new JsonObject();
            JsonElement eos = json.get("eos_token_id");
            Set<Integer> ids = new TreeSet<>();
            if (eos instanceof JsonArray list) {
                list.forEach(id -> ids.add(id(file, id)));
            } else if (eos != null && !eos.isJsonNull()) {
                ids.add(id(file, eos));
            }
            if (!ids.isEmpty()) {
                return ids;
            }
        }
        return Set.of();
    }

    private static int id(Path file, JsonElement value) {
        try {
            if (value instanceof JsonPrimitive number && number.isNumber()) {
                return new BigDecimal(number.getAsString()).intValueExact();
            }
        } catch (ArithmeticException | NumberFormatException e) {
            throw wrong(file, value);
        }
        throw wrong(file, value);
    }

    private static QloraException wrong(Path file, JsonElement value) {
        return new QloraException(file + ": eos_token_id: expected a token id or a list of them, found " + value);
    }
}
