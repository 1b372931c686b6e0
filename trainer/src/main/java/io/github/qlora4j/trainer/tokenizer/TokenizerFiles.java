package io.github.qlora4j.trainer.tokenizer;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import io.github.qlora4j.quant.QloraException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.Set;
import java.util.function.ObjIntConsumer;
import java.util.regex.Pattern;

/**
 * What the JSON files beside a model say about its tokenizer.
 *
 * <p>Special tokens come from {@code tokenizer_config.json}; {@code special_tokens_map.json} has the last word where the
 * former has no {@code added_tokens_decoder}, as in transformers 5 ({@code tokenization_utils_base.py}). Where neither
 * names BOS or EOS, the ids of {@code generation_config.json} and {@code config.json} count.
 */
final class TokenizerFiles {

    private static final int MAX_ID = 1 << 26;
    private static final Pattern BYTE_TOKEN = Pattern.compile("<0x[0-9A-F]{2}>");

    private final Path file;
    private final String sha256;
    private final Map<String, Integer> added = new HashMap<>();
    private final BitSet specialIds = new BitSet();
    private final BitSet byteTokens = new BitSet();
    private final Set<Integer> stopIds = new LinkedHashSet<>();
    private int vocabSize;
    private int modelVocabSize;
    private OptionalInt bosId = OptionalInt.empty();
    private OptionalInt eosId = OptionalInt.empty();
    private OptionalInt padId = OptionalInt.empty();

    private TokenizerFiles(Path file, String sha256) {
        this.file = file;
        this.sha256 = sha256;
    }

    /** What was read, and the bytes of {@code tokenizer.json}, which are not kept. */
    record Opened(TokenizerFiles files, byte[] tokenizerJson) {}

    static Opened read(Path directory) {
        Path file = directory.resolve("tokenizer.json");
        if (!Files.isRegularFile(file)) {
            throw new QloraException(missing(directory, file));
        }
        byte[] json = JsonFile.bytes(file);
        TokenizerFiles files = new TokenizerFiles(file, JsonFile.sha256(json));
        JsonObject root = JsonFile.parse(file, json);
        TokenizerJson.check(file, root);
        files.readVocabulary(root);
        files.readSpecialTokens(directory);
        return new Opened(files, json);
    }

    private static String missing(Path directory, Path file) {
        if (!Files.isDirectory(directory)) {
            return directory + ": no such directory; the tokenizer is read from the model's directory";
        }
        if (Files.isRegularFile(directory.resolve("tokenizer.model"))) {
            return file + " is missing; there is a tokenizer.model alone. Convert it once in Python:"
                    + " from transformers import AutoTokenizer;"
                    + " AutoTokenizer.from_pretrained(\"" + directory + "\").save_pretrained(\"" + directory + "\")";
        }
        return file + " is missing. Copy it from where the model came from.";
    }

    private void readVocabulary(JsonObject root) {
        forEachOfModel(root, this::note);
        if (root.get("added_tokens") instanceof JsonArray tokens) {
            for (JsonElement token : tokens) {
                if (!(token instanceof JsonObject t) || !JsonFile.isString(t.get("content"))) {
                    throw new QloraException(file + ": each of \"added_tokens\" must be an object with \"content\"");
                }
                String content = t.get("content").getAsString();
                int id = id(t.get("id"), "added_tokens");
                added.put(content, id);
                note(content, id);
                if (isSpecial(t)) {
                    specialIds.set(id);
                }
            }
        }
    }

    private void note(String token, int id) {
        vocabSize = Math.max(vocabSize, id + 1);
        if (token.length() == 6 && BYTE_TOKEN.matcher(token).matches()) {
            byteTokens.set(id);
        }
    }

    private void forEachOfModel(JsonObject root, ObjIntConsumer<String> action) {
        if (!(root.get("model") instanceof JsonObject model)) {
            throw new QloraException(file + ": \"model\" must be an object; this is not a tokenizer.json");
        }
        JsonElement vocab = model.get("vocab");
        if (vocab instanceof JsonObject map) {
            map.entrySet().forEach(e -> action.accept(e.getKey(), id(e.getValue(), "model.vocab")));
        } else if (vocab instanceof JsonArray list) {
            int next = 0;
            for (JsonElement piece : list) {
                if (!(piece instanceof JsonArray pair) || pair.isEmpty() || !JsonFile.isString(pair.get(0))) {
                    throw new QloraException(file + ": model.vocab[" + next + "] must be [token, score]");
                }
                action.accept(pair.get(0).getAsString(), next++);
            }
        } else {
            throw new QloraException(file + ": \"model.vocab\" must be an object or an array");
        }
    }

    private static boolean isSpecial(JsonObject token) {
        return token.get("special") instanceof JsonPrimitive p
                && p.isBoolean()
                && p.getAsBoolean()
                && !token.get("content").getAsString().isEmpty();
    }

    private int id(JsonElement value, String where) {
        // Ids index the embedding: anything past a few million is damage, and would size a bit set.
        OptionalInt id = JsonFile.integer(value);
        if (id.isEmpty() || id.getAsInt() < 0 || id.getAsInt() >= MAX_ID) {
            throw new QloraException(
                    file + ": in \"" + where + "\": expected a token id, found " + JsonFile.show(value));
        }
        return id.getAsInt();
    }

    private void readSpecialTokens(Path directory) {
        JsonObject config = JsonFile.optional(directory.resolve("tokenizer_config.json"));
        JsonObject map = JsonFile.optional(directory.resolve("special_tokens_map.json"));
        JsonObject model = JsonFile.optional(directory.resolve("config.json"));
        JsonObject generation = JsonFile.optional(directory.resolve("generation_config.json"));
        if (config.has("added_tokens_decoder")) {
            map = new JsonObject();
        }
        bosId = special("bos_token", map, config, generation, model);
        eosId = special("eos_token", map, config, generation, model);
        padId = special("pad_token", map, config, generation, model);
        eosId.ifPresent(stopIds::add);
        stopIds.addAll(ids(ids(generation, "eos_token_id").isEmpty() ? model : generation, "eos_token_id"));
        List<Integer> size = ids(model, "vocab_size");
        modelVocabSize = size.isEmpty() ? vocabSize : size.get(0);
    }

    /** The token that a file names under {@code key}; where none does, the first id under {@code key_id}. */
    private OptionalInt special(
            String key, JsonObject map, JsonObject config, JsonObject generation, JsonObject model) {
        for (JsonObject named : List.of(map, config)) {
            JsonElement value = named.get(key);
            if (value instanceof JsonObject token) {
                value = token.get("content");
            }
            if (JsonFile.isString(value)) {
                // A name outside the vocabulary has no row in the model's embedding: as if it were not named.
                return tokenId(value.getAsString());
            }
        }
        for (JsonObject numbered : List.of(generation, model)) {
            List<Integer> ids = ids(numbered, key + "_id");
            if (!ids.isEmpty()) {
                return OptionalInt.of(ids.get(0));
            }
        }
        return OptionalInt.empty();
    }

    private static List<Integer> ids(JsonObject object, String key) {
        JsonElement value = object.get(key);
        List<Integer> ids = new ArrayList<>();
        for (JsonElement each : value instanceof JsonArray list ? list.asList() : Collections.singletonList(value)) {
            OptionalInt id = JsonFile.integer(each);
            if (id.isPresent() && id.getAsInt() >= 0) {
                ids.add(id.getAsInt());
            }
        }
        return ids;
    }

    /**
     * {@code tokenizer.json} such that no special token is found in a text.
     *
     * <p>A special token that is part of the model's own vocabulary is dropped from the added ones; another one is
     * renamed, because the library numbers added tokens by their place in the list.
     */
    byte[] withoutSpecialTokens() {
        JsonObject root = reread();
        Set<String> ofModel = new HashSet<>();
        forEachOfModel(root, (token, id) -> ofModel.add(token));
        JsonArray kept = new JsonArray();
        for (JsonElement each : root.get("added_tokens") instanceof JsonArray list ? list : new JsonArray()) {
            JsonObject token = each.getAsJsonObject();
            String content = token.get("content").getAsString();
            if (!isSpecial(token)) {
                kept.add(token);
            } else if (!ofModel.contains(content)) {
                // Unicode noncharacters: not meant for any text.
                token.addProperty("content", "\uDBFF\uDFFF" + kept.size() + "\uDBFF\uDFFE");
                kept.add(token);
            }
        }
        root.add("added_tokens", kept);
        return root.toString().getBytes(StandardCharsets.UTF_8);
    }

    private JsonObject reread() {
        byte[] json = JsonFile.bytes(file);
        if (!JsonFile.sha256(json).equals(sha256)) {
            throw new QloraException(file + ": changed since it was opened. Start again.");
        }
        return JsonFile.parse(file, json);
    }

    OptionalInt tokenId(String token) {
        Integer id = added.get(token);
        if (id != null) {
            return OptionalInt.of(id);
        }
        // Asked for rarely, so the whole vocabulary is not kept in memory.
        int[] found = {-1};
        forEachOfModel(reread(), (t, i) -> {
            if (t.equals(token)) {
                found[0] = i;
            }
        });
        return found[0] < 0 ? OptionalInt.empty() : OptionalInt.of(found[0]);
    }

    String fingerprint() {
        String all = "tokenizer 1\n" + sha256 + "\n" + bosId + "\n" + eosId + "\n";
        return JsonFile.sha256(all.getBytes(StandardCharsets.UTF_8));
    }

    Path tokenizerFile() {
        return file;
    }

    boolean isSpecial(int id) {
        return specialIds.get(id);
    }

    boolean isByteToken(int id) {
        return byteTokens.get(id);
    }

    Set<Integer> stopIds() {
        return Collections.unmodifiableSet(stopIds);
    }

    int vocabSize() {
        return vocabSize;
    }

    int modelVocabSize() {
        return modelVocabSize;
    }

    OptionalInt bosId() {
        return bosId;
    }

    OptionalInt eosId() {
        return eosId;
    }

    OptionalInt padId() {
        return padId;
    }
}
