package io.github.qlora4j.trainer.tokenizer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.gson.JsonObject;
import io.github.qlora4j.quant.QloraException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.FieldSource;

class TokenizerTest {

    static final List<String> KINDS = GoldenTexts.KINDS;

    @TempDir
    Path temp;

    @ParameterizedTest
    @FieldSource("KINDS")
    void idsAndTextsEqualTransformers(String kind) throws IOException {
        try (Tokenizer tokenizer = Tokenizer.load(GoldenTexts.directory(kind))) {
            for (JsonObject line : GoldenTexts.lines(kind, "texts.jsonl")) {
                String text = line.get("text").getAsString();
                int[] ids = GoldenTexts.ints(line.getAsJsonArray("ids"));
                assertThat(tokenizer.encode(text)).as(text).isEqualTo(ids);
                assertThat(tokenizer.encodeWithSpecialTokens(text))
                        .as(text)
                        .isEqualTo(GoldenTexts.ints(line.getAsJsonArray("with_special")));
                assertThat(tokenizer.encodeOrdinary(text))
                        .as(text)
                        .isEqualTo(GoldenTexts.ints(line.getAsJsonArray("ordinary")));
                assertThat(tokenizer.decode(ids, false))
                        .isEqualTo(line.get("decoded").getAsString());
                assertThat(tokenizer.decode(ids, true))
                        .isEqualTo(line.get("decoded_skip").getAsString());
            }
        }
    }

    @ParameterizedTest
    @FieldSource("KINDS")
    void streamedTextEqualsTheWhole_forAnyIds(String kind) {
        try (Tokenizer tokenizer = Tokenizer.load(GoldenTexts.directory(kind))) {
            String sample = "the 龘𠀀 teacher 🙂👩‍👩‍👧  é,  请列出名字 ▁x </s> 🇫🇷\n\n a";
            for (int seed = 0; seed < 300; seed++) {
                Random random = new Random(seed);
                int[] ids = seed % 2 == 0
                        ? tokenizer.encode(sample.substring(0, sample.offsetByCodePoints(0, seed % 40)))
                        : IntStream.range(0, 1 + random.nextInt(seed % 10 == 1 ? 300 : 60))
                                .map(i -> random.nextInt(random.nextBoolean() ? tokenizer.vocabSize() : 300))
                                .toArray();
                if (seed % 7 == 3 && ids.length > 40) { // more of them than are decoded again for the next one
                    Arrays.fill(ids, 9, 38, tokenizer.eosId().orElse(ids[0]));
                }
                for (boolean skip : new boolean[] {true, false}) {
                    StreamingDecoder decoder = tokenizer.streamingDecoder(skip);
                    StringBuilder text = new StringBuilder();
                    for (int id : ids) {
                        String piece = decoder.add(id);
                        assertThat(piece.isEmpty() || !Character.isHighSurrogate(piece.charAt(piece.length() - 1)))
                                .isTrue();
                        text.append(piece);
                    }
                    text.append(decoder.finish());
                    assertThat(text.toString())
                            .as("seed %d, skip %s, ids %s", seed, skip, Arrays.toString(ids))
                            .isEqualTo(tokenizer.decode(ids, skip));
                }
            }
        }
    }

    @Test
    void streamingShowsACharacterWhenItsLastByteIsCertain() {
        try (Tokenizer tokenizer = Tokenizer.load(GoldenTexts.directory("bytelevel"))) {
            int[] ids = tokenizer.encode("a🙂b");
            StreamingDecoder decoder = tokenizer.streamingDecoder(true);
            List<String> pieces = Arrays.stream(ids).mapToObj(decoder::add).toList();
            assertThat(ids).hasSizeGreaterThan(3);
            assertThat(pieces.get(0)).isEqualTo("a");
            assertThat(pieces.get(1)).isEmpty();
            assertThat(pieces).contains("🙂").endsWith("b");
            assertThat(decoder.finish()).isEmpty();
        }
    }

    @Test
    void specialTokensComeFromTheDirectory() throws IOException {
        Path dir = copy("bytelevel");
        try (Tokenizer tokenizer = Tokenizer.load(dir)) {
            assertThat(tokenizer.bosId()).hasValue(501);
            assertThat(tokenizer.eosId()).hasValue(502);
            assertThat(tokenizer.padId()).hasValue(503);
            assertThat(tokenizer.stopIds()).containsExactly(502);
            assertThat(tokenizer.tokenId("<|im_end|>")).hasValue(504);
            assertThat(tokenizer.tokenId("!")).hasValue(0);
            assertThat(tokenizer.tokenId("no such token")).isEmpty();
            assertThat(tokenizer.vocabSize()).isEqualTo(507);
            assertThat(tokenizer.modelVocabSize()).isEqualTo(507);
        }
        Files.writeString(dir.resolve("generation_config.json"), "{\"eos_token_id\": [504, 502]}");
        Files.writeString(dir.resolve("config.json"), "{\"vocab_size\": 512, \"eos_token_id\": 3}");
        Files.writeString(
                dir.resolve("tokenizer_config.json"),
                "{\"eos_token\": {\"content\": \"<|im_end|>\"}, \"bos_token\": null, \"model_max_length\": 1e30}");
        try (Tokenizer tokenizer = Tokenizer.load(dir)) {
            assertThat(tokenizer.eosId()).hasValue(504);
            assertThat(tokenizer.bosId()).isEmpty();
            assertThat(tokenizer.stopIds()).containsExactlyInAnyOrder(502, 504);
            assertThat(tokenizer.modelVocabSize()).isEqualTo(512);
            assertThatThrownBy(tokenizer::requireBosId)
                    .isInstanceOf(QloraException.class)
                    .hasMessageContainingAll(dir.toString(), "bos_token");
        }
        Files.writeString(dir.resolve("special_tokens_map.json"), "{\"eos_token\": \"</s>\"}");
        try (Tokenizer tokenizer = Tokenizer.load(dir)) {
            assertThat(tokenizer.eosId()).hasValue(502);
        }
    }

    @Test
    void fingerprintChangesWithTheTokenizerAndItsEos() throws IOException {
        Path dir = copy("spm");
        String first = fingerprint(dir);
        assertThat(fingerprint(dir)).isEqualTo(first).hasSize(64);
        assertThat(fingerprint(copy("bytelevel"))).isNotEqualTo(first);
        Files.writeString(dir.resolve("tokenizer_config.json"), "{\"eos_token\": \"<pad>\"}");
        assertThat(fingerprint(dir)).isNotEqualTo(first);
    }

    @Test
    void aMegabyteOfTextIsNeitherCutNorRefused() {
        try (Tokenizer tokenizer = Tokenizer.load(GoldenTexts.directory("bytelevel"))) {
            String text = "the teacher writes 🙂 seven letters, ".repeat(28_000);
            assertThat(tokenizer.decode(tokenizer.encode(text), false)).isEqualTo(text);
        }
    }

    @Test
    void truncationAndPaddingOfTheFileAreNotApplied() throws IOException {
        Path dir = copy("spm");
        String json = Files.readString(dir.resolve("tokenizer.json"));
        assertThat(json).contains("\"truncation\": null", "\"padding\": null");
        Files.writeString(
                dir.resolve("tokenizer.json"),
                json.replace(
                                "\"truncation\": null",
                                "\"truncation\": {\"direction\": \"Right\", \"max_length\": 4, \"strategy\":"
                                        + " \"LongestFirst\", \"stride\": 0}")
                        .replace(
                                "\"padding\": null",
                                "\"padding\": {\"strategy\": {\"Fixed\": 64}, \"direction\": \"Right\","
                                        + " \"pad_to_multiple_of\": null, \"pad_id\": 3, \"pad_type_id\": 0,"
                                        + " \"pad_token\": \"<pad>\"}"));
        try (Tokenizer plain = Tokenizer.load(GoldenTexts.directory("spm"));
                Tokenizer cutting = Tokenizer.load(dir)) {
            for (String text : List.of("a", "the teacher writes seven letters, and the cook counts bread")) {
                assertThat(cutting.encode(text)).isEqualTo(plain.encode(text));
                assertThat(cutting.encodeOrdinary(text)).isEqualTo(plain.encode(text));
            }
        }
    }

    @Test
    void severalThreadsMayEncodeAtOnce() {
        try (Tokenizer tokenizer = Tokenizer.load(GoldenTexts.directory("spm"))) {
            int[] expected = tokenizer.encode("the cook counts bread </s> and salt");
            int[] ordinary = tokenizer.encodeOrdinary("the cook counts bread </s> and salt");
            assertThat(IntStream.range(0, 400)
                            .parallel()
                            .allMatch(i -> Arrays.equals(
                                            expected, tokenizer.encode("the cook counts bread </s> and salt"))
                                    && Arrays.equals(
                                            ordinary, tokenizer.encodeOrdinary("the cook counts bread </s> and salt"))))
                    .isTrue();
        }
    }

    @Test
    void halfASurrogatePairIsAnError_notADeadJvm() {
        try (Tokenizer tokenizer = Tokenizer.load(GoldenTexts.directory("spm"))) {
            for (String text : List.of("\uD83D", "a\uDE42", "\uDE42\uD83D", "x\uD83Dy")) {
                assertThatThrownBy(() -> tokenizer.encode(text))
                        .isInstanceOf(QloraException.class)
                        .hasMessageContaining("surrogate");
            }
        }
    }

    @Test
    void idsOutsideTheVocabularyDecodeToNothing_andNegativeOnesAreAnError() {
        try (Tokenizer tokenizer = Tokenizer.load(GoldenTexts.directory("bytelevel"))) {
            assertThat(tokenizer.decode(new int[] {1_000_000}, false)).isEmpty();
            assertThatThrownBy(() -> tokenizer.decode(new int[] {5, -100}, false))
                    .isInstanceOf(QloraException.class)
                    .hasMessageContaining("-100");
        }
    }

    @Test
    void whatIsMissingIsNamed() throws IOException {
        assertThatThrownBy(() -> Tokenizer.load(temp.resolve("nowhere")))
                .isInstanceOf(QloraException.class)
                .hasMessageContainingAll("nowhere", "no such directory");
        assertThatThrownBy(() -> Tokenizer.load(temp))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("tokenizer.json is missing");
        Files.writeString(temp.resolve("tokenizer.model"), "x");
        assertThatThrownBy(() -> Tokenizer.load(temp))
                .isInstanceOf(QloraException.class)
                .hasMessageContainingAll("tokenizer.model", "save_pretrained");
    }

    @Test
    void aDamagedFileIsAnErrorThatNamesIt_orStillATokenizer() throws IOException {
        for (String kind : KINDS) {
            Path dir = copy(kind);
            for (String name : List.of("tokenizer.json", "tokenizer_config.json")) {
                byte[] good = Files.readAllBytes(dir.resolve(name));
                for (int seed = 0; seed < 60; seed++) {
                    Random random = new Random(seed);
                    byte[] bad = random.nextBoolean() ? Arrays.copyOf(good, random.nextInt(good.length)) : good.clone();
                    for (int i = random.nextInt(4); i >= 0 && bad.length > 0; i--) {
                        bad[random.nextInt(bad.length)] = (byte) random.nextInt(256);
                    }
                    Files.write(dir.resolve(name), bad);
                    try (Tokenizer tokenizer = Tokenizer.load(dir)) {
                        tokenizer.encodeOrdinary("the teacher </s>");
                    } catch (QloraException e) {
                        assertThat(e.getMessage())
                                .as("%s, seed %d", kind, seed)
                                .contains(dir.resolve(name).toString());
                    }
                }
                Files.write(dir.resolve(name), good);
            }
        }
        Path dir = copy("spm");
        for (String json : List.of(
                "",
                "[]",
                "{}",
                "{\"model\": {}}",
                "{\"model\": {\"vocab\": {\"a\": -1}}}",
                "{\"model\": {\"vocab\": {\"a\": 1e18}}}",
                "{\"model\": {\"vocab\": [[\"a\"], 3]}}",
                "[".repeat(100_000))) {
            Files.writeString(dir.resolve("tokenizer.json"), json, StandardCharsets.UTF_8);
            assertThatThrownBy(() -> Tokenizer.load(dir))
                    .isInstanceOf(QloraException.class)
                    .hasMessageContaining("tokenizer.json");
        }
    }

    private static String fingerprint(Path dir) {
        try (Tokenizer tokenizer = Tokenizer.load(dir)) {
            return tokenizer.fingerprint();
        }
    }

    private Path copy(String kind) throws IOException {
        Path dir = Files.createTempDirectory(temp, kind);
        for (String name : List.of("tokenizer.json", "tokenizer_config.json")) {
            Files.copy(GoldenTexts.directory(kind).resolve(name), dir.resolve(name));
        }
        return dir;
    }
}
