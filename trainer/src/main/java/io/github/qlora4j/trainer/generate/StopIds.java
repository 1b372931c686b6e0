package io.github.qlora4j.trainer.generate;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.internal.StrictJson;
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
                list.forEach(id -> ids.add(id.getAsInt()));
            } else if (eos != null && eos.isJsonPrimitive()) {
                ids.add(eos.getAsInt());
            }
            if (!ids.isEmpty()) {
                return ids;
            }
        }
        return Set.of();
    }
}
