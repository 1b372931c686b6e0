package io.github.qlora4j.trainer.tokenizer;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** Where scripts/golden/tokens.py put what Python computes. */
public final class GoldenTexts {

    /** Byte fallback as Llama-2's, and byte-level as Llama-3's. */
    public static final List<String> KINDS = List.of("spm", "bytelevel");

    private GoldenTexts() {}

    public static Path directory(String kind) {
        return Path.of("src/test/resources/golden/tokens", kind);
    }

    public static List<JsonObject> lines(String kind, String file) throws IOException {
        return Files.readAllLines(directory(kind).resolve(file)).stream()
                .map(line -> JsonParser.parseString(line).getAsJsonObject())
                .toList();
    }

    public static int[] ints(JsonArray array) {
        return array.asList().stream().mapToInt(e -> e.getAsInt()).toArray();
    }
}
