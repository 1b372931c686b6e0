package io.github.qlora4j.trainer.tokenizer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.gson.JsonPrimitive;
import io.github.qlora4j.quant.QloraException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A tokenizer.json that is JSON, but not what it should be. The library behind it may end the JVM: here that fails all. */
class DamagedTokenizerTest {

    private static final List<JsonElement> VALUES = List.of(
            JsonNull.INSTANCE,
            new JsonPrimitive(7),
            new JsonPrimitive(4_000_000_000L),
            new JsonPrimitive(true),
            new JsonPrimitive(""),
            new JsonPrimitive("▁"),
            new JsonPrimitive("</s>"),
            new JsonPrimitive("Sequence"),
            new JsonArray(),
            new JsonObject());

    @TempDir
    Path temp;

    @Test
    void aTemplateThatNamesAnUnknownTokenIsAnError() throws IOException {
        JsonObject root = golden("spm");
        root.getAsJsonObject("post_processor").add("special_tokens", new JsonObject());
        assertThatThrownBy(() -> load(root))
                .isInstanceOf(QloraException.class)
                .hasMessageContainingAll("tokenizer.json", "post_processor.single", "<s>");
    }

    @Test
    void mergesThatContradictTheSubwordPrefixAreAnError() throws IOException {
        JsonObject root = golden("spm");
        root.getAsJsonObject("model").addProperty("continuing_subword_prefix", "####");
        assertThatThrownBy(() -> load(root))
                .isInstanceOf(QloraException.class)
                .hasMessageContainingAll("tokenizer.json", "model.merges", "####");
    }

    @Test
    void aNumberBeyondTheDoublesIsAnError_whereTheLibraryWouldEndTheJvm() throws IOException {
        JsonObject root = golden("spm");
        root.add("a", new JsonPrimitive(new java.math.BigDecimal("1e400")));
        assertThatThrownBy(() -> load(root))
                .isInstanceOf(QloraException.class)
                .hasMessageContainingAll("tokenizer.json", "1E+400");
    }

    @Test
    void halfOfASurrogatePairIsAnError_whereTheLibraryWouldEndTheJvm() throws IOException {
        JsonObject root = golden("spm");
        root.addProperty("here", "here");
        for (String half : List.of("\\ud800", "\\udc00", "a\\ud83d", "\\ud83dx", "\\ude00\\ud83d")) {
            for (String place : List.of("\"here\":", ":\"here\"")) {
                String text = root.toString().replace(place, place.replace("here", half));
                assertThatThrownBy(() -> load(text))
                        .isInstanceOf(QloraException.class)
                        .hasMessageContainingAll("tokenizer.json", "surrogate");
            }
        }
        JsonObject whole = golden("spm");
        whole.getAsJsonObject("decoder").addProperty("x", "here");
        load(whole.toString().replace("here", "\\ud83d\\ude00"));
    }

    @Test
    void aTemplateWithoutThePlaceOfTheTextIsAnError() throws IOException {
        JsonObject root = golden("spm");
        root.getAsJsonObject("post_processor").add("single", new JsonArray());
        assertThatThrownBy(() -> load(root))
                .isInstanceOf(QloraException.class)
                .hasMessageContainingAll("tokenizer.json", "post_processor.single", "Sequence");
    }

    @Test
    void anIdOutsideTheVocabularyIsAnError() throws IOException {
        JsonObject root = golden("spm");
        JsonArray ids = new JsonArray();
        ids.add(4_000_000_000L);
        root.getAsJsonObject("post_processor")
                .getAsJsonObject("special_tokens")
                .getAsJsonObject("<s>")
                .add("ids", ids);
        assertThatThrownBy(() -> load(root))
                .isInstanceOf(QloraException.class)
                .hasMessageContainingAll("tokenizer.json", "4000000000");
    }

    @Test
    void partsChangedAtRandomGiveATokenizerOrAnErrorThatNamesTheFile() throws IOException {
        for (String kind : GoldenTexts.KINDS) {
            for (int seed = 0; seed < 150; seed++) {
                Random random = new Random(seed);
                JsonObject root = golden(kind);
                for (int n = random.nextInt(3); n >= 0; n--) {
                    change(root, random);
                }
                try {
                    load(root);
                } catch (QloraException e) {
                    assertThat(e.getMessage()).as("%s, seed %d", kind, seed).contains("tokenizer.json");
                }
            }
        }
    }

    private void load(JsonObject root) throws IOException {
        load(root.toString());
    }

    private void load(String json) throws IOException {
        Files.writeString(temp.resolve("tokenizer.json"), json);
        try (Tokenizer tokenizer = Tokenizer.load(temp)) {
            tokenizer.encode("the 🙂 teacher </s> \t龘");
            tokenizer.encodeWithSpecialTokens("x <s> y");
            tokenizer.encodeOrdinary("the </s> x");
            tokenizer.decode(new int[] {1, 2, 300, 40, 450, 260, 5}, true);
        }
    }

    private static void change(JsonObject root, Random random) {
        JsonElement at = root;
        if (random.nextBoolean()) {
            // away from the vocabulary, which is most of the file
            List<String> parts = List.of("added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder");
            JsonElement part = root.get(parts.get(random.nextInt(parts.size())));
            at = part instanceof JsonObject || part instanceof JsonArray ? part : root;
        }
        for (int depth = random.nextInt(6); depth >= 0; depth--) {
            if (at instanceof JsonObject object && object.size() > 0) {
                List<String> keys = new ArrayList<>(object.keySet());
                String key = keys.get(random.nextInt(keys.size()));
                at = object.get(key);
                if (depth == 0 || at.isJsonPrimitive() || at.isJsonNull()) {
                    object.remove(key);
                    if (random.nextInt(4) > 0) {
                        object.add(key, VALUES.get(random.nextInt(VALUES.size())));
                    }
                    return;
                }
            } else if (at instanceof JsonArray array && array.size() > 0) {
                int i = random.nextInt(array.size());
                at = array.get(i);
                if (depth == 0 || at.isJsonPrimitive()) {
                    array.set(i, VALUES.get(random.nextInt(VALUES.size())));
                    return;
                }
            } else {
                return;
            }
        }
    }

    private static JsonObject golden(String kind) throws IOException {
        return JsonParser.parseString(
                        Files.readString(GoldenTexts.directory(kind).resolve("tokenizer.json")))
                .getAsJsonObject();
    }
}
