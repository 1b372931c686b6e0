package io.github.qlora4j.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class BenchVerbTest {

    private static final Path GOLDEN = Path.of("src/test/resources/golden");
    private static final Path LLAMA = GOLDEN.resolve("models/llama");

    @TempDir
    private Path dir;

    private static Ran bench(Object... args) {
        List<String> all = new ArrayList<>(List.of("bench"));
        for (Object arg : args) {
            all.add(arg.toString());
        }
        return Ran.qlora(all.toArray(String[]::new));
    }

    private static JsonObject object(JsonElement element) {
        return element.getAsJsonObject();
    }

    /** The model has 128 positions; AWQ's groups are wider than its layers. */
    @Test
    void measuresEachScheme_andSaysWhatItDidNotMeasure() throws IOException {
        Path out = dir.resolve("out");
        Ran ran = bench(
                "--model",
                LLAMA,
                "--schemes",
                "stored,int8,awq",
                "--lengths",
                "16,8,125,128,200",
                "--batches",
                "2",
                "--rounds",
                1,
                "--new-tokens",
                3,
                "--threads",
                1,
                "--json",
                "--output",
                out);
        assertThat(ran.code()).as(ran.err()).isZero();
        JsonObject found = object(JsonParser.parseString(ran.out()));
        assertThat(JsonParser.parseString(Files.readString(out.resolve("bench.json"))))
                .isEqualTo(found);
        assertThat(found.keySet())
                .containsExactly("model", "machine", "max_position_embeddings", "warm_up", "rounds", "schemes");
        JsonArray schemes = found.getAsJsonArray("schemes");
        assertThat(schemes).hasSize(3);
        measured(object(schemes.get(0)), "stored", "bfloat16", 16);
        // a byte a weight, and a float32 for each of the 576 rows of the seven layers, of 40,960 weights
        measured(object(schemes.get(1)), "int8", "int8", 8 + 32.0 * 576 / 40960);
        assertThat(object(schemes.get(0)).getAsJsonObject("loaded").get("weights_per_second"))
                .matches(JsonElement::isJsonNull);
        assertThat(object(schemes.get(1))
                        .getAsJsonObject("loaded")
                        .get("weights_per_second")
                        .getAsDouble())
                .isPositive();
        JsonObject awq = object(schemes.get(2));
        assertThat(awq.get("failed").getAsString()).contains("64 inputs do not fall into groups of 128");
        assertThat(awq.get("loaded").isJsonNull()).isTrue();

        assertThat(dir.toFile().list()).containsExactly("out");
        assertThat(out.toFile().list()).contains("bench.md", "bench.json", "speed.png");
        assertThat(ImageIO.read(out.resolve("speed.png").toFile()).getHeight()).isEqualTo(420);
        assertThat(Files.readString(out.resolve("bench.md")))
                .contains("| batch | length | bfloat16 | int8 | awq |")
                .contains("bfloat16, int8, forward 2 × 200: 200 positions, and max_position_embeddings is 128")
                .contains("generation 2 × 128: 131 positions")
                .contains("awq, all of it: ")
                .contains("after 1 that does not count");
    }

    private static void measured(JsonObject scheme, String name, String label, double bits) {
        assertThat(scheme.keySet()).containsExactly("name", "loaded", "failed", "forward", "generation");
        assertThat(scheme.get("name").getAsString()).isEqualTo(name);
        assertThat(scheme.get("failed").isJsonNull()).isTrue();
        JsonObject loaded = scheme.getAsJsonObject("loaded");
        assertThat(loaded.keySet())
                .containsExactly(
                        "scheme",
                        "dtype",
                        "bytes",
                        "bits_per_weight",
                        "weights_per_second",
                        "load_seconds",
                        "rest_bytes",
                        "threads");
        assertThat(loaded.get("scheme").getAsString()).isEqualTo(label);
        assertThat(loaded.get("bits_per_weight").getAsDouble()).isEqualTo(bits);
        assertThat(loaded.get("threads").getAsInt()).isEqualTo(1);

        List<Integer> lengths = new ArrayList<>();
        for (JsonElement element : scheme.getAsJsonArray("forward")) {
            JsonObject pass = object(element);
            assertThat(pass.keySet())
                    .containsExactly("batch", "length", "seconds", "tokens_per_second", "peak_bytes", "skipped");
            int length = pass.get("length").getAsInt();
            lengths.add(length);
            assertThat(pass.get("skipped").isJsonNull()).isEqualTo(length <= 128);
            assertThat(pass.get("seconds").isJsonNull()).isEqualTo(length > 128);
            if (length <= 128) {
                double seconds = pass.get("seconds").getAsDouble();
                assertThat(pass.get("tokens_per_second").getAsDouble()).isEqualTo(2 * length / seconds);
            }
        }
        assertThat(lengths).containsExactly(8, 16, 125, 128, 200);
        for (JsonElement element : scheme.getAsJsonArray("generation")) {
            JsonObject generation = object(element);
            assertThat(generation.keySet())
                    .containsExactly(
                            "batch",
                            "length",
                            "new_tokens",
                            "first_token_seconds",
                            "tokens_per_second",
                            "peak_bytes",
                            "skipped");
            boolean fits = generation.get("length").getAsInt() + 3 <= 128;
            assertThat(generation.get("skipped").isJsonNull()).isEqualTo(fits);
            assertThat(generation.get("tokens_per_second").isJsonNull()).isEqualTo(!fits);
        }
        assertThat(scheme.getAsJsonArray("generation")).hasSize(5);
    }

    @Test
    void aQuantizedModelIsMeasuredAsItIs() throws IOException {
        Path out = dir.resolve("out");
        Path model = GOLDEN.resolve("checkpoints/nf4-double");
        Ran ran = bench(
                "--model",
                model,
                "--lengths",
                "8",
                "--batches",
                "1",
                "--rounds",
                1,
                "--new-tokens",
                2,
                "--output",
                out);
        assertThat(ran.code()).as(ran.err()).isZero();
        assertThat(ran.out()).contains("Forward pass, ms", "nf4-double").doesNotContain("Not measured");
        assertThat(ran.err()).contains("measuring stored (1/1)", "tables and pictures: " + out.resolve("bench.md"));
        wrong(
                Main.FAILED,
                "quantized already",
                "--model",
                model,
                "--schemes",
                "stored,nf4",
                "--output",
                dir.resolve("o2"));
    }

    @Test
    void whatCannotBeDoneIsSaidAndLeavesNothing() throws IOException {
        Path out = dir.resolve("out");
        wrong(
                Main.WRONG_USE,
                "scheme nf5 cannot be measured; expected",
                "--model",
                LLAMA,
                "--schemes",
                "nf5",
                "--output",
                out);
        wrong(Main.WRONG_USE, "--lengths: 1 is not from 2", "--model", LLAMA, "--lengths", "32,1", "--output", out);
        wrong(Main.WRONG_USE, "--batches: 0 is not from 1", "--model", LLAMA, "--batches", "0", "--output", out);
        wrong(Main.WRONG_USE, "--batches", "--model", LLAMA, "--batches", "two", "--output", out);
        wrong(Main.WRONG_USE, "--rounds: 0", "--model", LLAMA, "--rounds", "0", "--output", out);
        wrong(Main.WRONG_USE, "--new-tokens: 1", "--model", LLAMA, "--new-tokens", "1", "--output", out);
        wrong(Main.WRONG_USE, "--threads is 0", "--model", LLAMA, "--threads", "0", "--output", out);
        wrong(Main.WRONG_USE, "--output", "--model", LLAMA);
        wrong(Main.FAILED, "nowhere", "--model", dir.resolve("nowhere"), "--output", out);
        wrong(Main.FAILED, "max_position_embeddings 128", "--model", LLAMA, "--lengths", "256,512", "--output", out);
        assertThat(dir).isEmptyDirectory();
        Files.writeString(dir.resolve("mine"), "x");
        wrong(Main.FAILED, "not empty", "--model", LLAMA, "--output", dir);
        assertThat(dir.toFile().list()).containsExactly("mine");
    }

    private static void wrong(int code, String message, Object... args) {
        Ran ran = bench(args);
        assertThat(ran.code()).as(ran.err()).isEqualTo(code);
        assertThat(ran.err()).contains(message).doesNotContain("internal error");
    }
}
