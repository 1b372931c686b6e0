package io.github.qlora4j.trainer.config;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/** The files made of the records are current; {@code -Dgenerate} on Maven's command line writes them anew. */
class GeneratedFilesTest {

    private static final Path ROOT = root();
    private static final String BEGIN = "<!-- keys: made from the records -->\n";
    private static final String END = "<!-- end of keys -->\n";
    private static final String REMEDY =
            "%s is not current; write it anew with: mvn -pl trainer -am test -Dtest=GeneratedFilesTest -Dgenerate"
                    + " -Dsurefire.failIfNoSpecifiedTests=false";

    @Test
    void schema_isCurrent() throws IOException {
        current(ROOT.resolve("configs/schema.json"), JsonSchema.generate());
    }

    @Test
    void tableOfKeys_isCurrent() throws IOException {
        Path page = ROOT.resolve("docs/configuration.md");
        String text = Files.readString(page);
        int from = text.indexOf(BEGIN) + BEGIN.length();
        int to = text.indexOf(END);
        assertThat(from).as("the mark before the keys in %s", page).isGreaterThanOrEqualTo(BEGIN.length());
        assertThat(to).as("the mark after the keys in %s", page).isGreaterThanOrEqualTo(from);
        current(page, text.substring(0, from) + "\n" + KeyTable.markdown() + text.substring(to));
    }

    @Test
    void schema_hasEveryKeyWithMeaningAndDefault() {
        JsonObject schema = JsonParser.parseString(JsonSchema.generate()).getAsJsonObject();
        JsonObject sections = schema.getAsJsonObject("properties");
        assertThat(schema.get("additionalProperties").getAsBoolean()).isFalse();
        for (String key : Hints.allKeys()) {
            String[] names = key.split("\\.");
            JsonObject section = object(sections.getAsJsonObject(names[0]));
            assertThat(section.get("additionalProperties").getAsBoolean())
                    .as(key)
                    .isFalse();
            JsonObject property = section.getAsJsonObject("properties").getAsJsonObject(names[1]);
            assertThat(property).as(key).isNotNull();
            assertThat(property.get("description").getAsString()).as(key).endsWith(".");
            boolean required = contains(section.getAsJsonArray("required"), names[1]);
            assertThat(property.has("default") || required || property.has("properties"))
                    .as(key)
                    .isTrue();
        }
    }

    @Test
    void schemaAndBinder_agreeOnRangesAndNames() {
        JsonObject lora = object(JsonParser.parseString(JsonSchema.generate())
                .getAsJsonObject()
                .getAsJsonObject("properties")
                .getAsJsonObject("lora"));
        JsonObject keys = lora.getAsJsonObject("properties");
        assertThat(keys.getAsJsonObject("r").get("minimum").getAsInt()).isEqualTo(1);
        assertThat(keys.getAsJsonObject("lora_dropout").get("exclusiveMaximum").getAsInt())
                .isEqualTo(1);
        assertThat(keys.getAsJsonObject("dtype").getAsJsonArray("enum").toString())
                .isEqualTo("[\"bfloat16\",\"float32\"]");
        assertThat(keys.getAsJsonObject("init_lora_weights")
                        .getAsJsonArray("enum")
                        .toString())
                .isEqualTo("[true,\"gaussian\"]");
    }

    private static void current(Path file, String expected) throws IOException {
        if (System.getProperty("generate") != null) {
            Files.writeString(file, expected);
        }
        assertThat(file).as(REMEDY, file).exists();
        assertThat(Files.readString(file).replace("\r\n", "\n"))
                .as(REMEDY, file)
                .isEqualTo(expected);
    }

    /** The object among the choices of a nullable section. */
    private static JsonObject object(JsonObject section) {
        if (!section.has("anyOf")) {
            return section;
        }
        return section.getAsJsonArray("anyOf").get(0).getAsJsonObject();
    }

    private static boolean contains(JsonArray names, String name) {
        if (names == null) {
            return false;
        }
        for (JsonElement each : names) {
            if (each.getAsString().equals(name)) {
                return true;
            }
        }
        return false;
    }

    /** The repository's root: the first folder upwards that has both. */
    private static Path root() {
        Path at = Path.of("").toAbsolutePath();
        while (at != null && !(Files.isDirectory(at.resolve("configs")) && Files.isDirectory(at.resolve("trainer")))) {
            at = at.getParent();
        }
        assertThat(at).as("the repository's root").isNotNull();
        return at;
    }
}
