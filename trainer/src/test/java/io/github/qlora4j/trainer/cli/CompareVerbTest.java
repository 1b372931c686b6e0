package io.github.qlora4j.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.github.qlora4j.quant.scheme.FakeQuantizer;
import io.github.qlora4j.quant.scheme.SchemeNames;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CompareVerbTest {

    private static final Path GOLDEN = Path.of("src/test/resources/golden");
    private static final String LLAMA = GOLDEN.resolve("models/llama").toString();
    private static final String ROWS = GOLDEN.resolve("compare/rows.jsonl").toString();
    private static final List<String> KEYS =
            List.of("scheme", "granularity", "bits_per_weight", "mse", "max_error", "snr_db", "perplexity");

    @TempDir
    private Path dir;

    private static JsonArray array(Path file) throws IOException {
        return JsonParser.parseString(Files.readString(file)).getAsJsonArray();
    }

    private static double number(JsonObject object, String key) {
        return object.get(key).getAsDouble();
    }

    @Test
    void findsWhatTorchAndTransformersFind() throws IOException {
        Path out = dir.resolve("out");
        Ran ran = Ran.qlora(
                "compare",
                "--model",
                LLAMA,
                "--data",
                ROWS,
                "--dtype",
                "float32",
                "--threads",
                "1",
                "--output",
                out.toString(),
                "--json",
                "--schemes",
                "absmax,zeropoint,absmax-int3:row,nf4,nf4-double");
        assertThat(ran.code()).as(ran.err()).isZero();
        JsonArray found = JsonParser.parseString(ran.out()).getAsJsonArray();
        assertThat(array(out.resolve("compare.json"))).isEqualTo(found);
        List<JsonElement> expected =
                array(GOLDEN.resolve("compare/expected.json")).asList();
        JsonObject unquantized = expected.get(0).getAsJsonObject();
        assertThat(found).hasSize(expected.size() - 1);
        for (int i = 0; i < found.size(); i++) {
            JsonObject a = found.get(i).getAsJsonObject();
            JsonObject b = expected.get(i + 1).getAsJsonObject();
            assertThat(a.keySet()).containsExactlyElementsOf(KEYS);
            assertThat(a.get("scheme")).isEqualTo(b.get("scheme"));
            assertThat(a.get("granularity")).isEqualTo(b.get("granularity"));
            assertThat(a.get("bits_per_weight")).as("%s", b).isEqualTo(b.get("bits_per_weight"));
            assertThat(number(a, "max_error")).as("%s", b).isEqualTo(number(b, "max_error"));
            // sums of doubles in another order
            assertThat(number(a, "mse")).as("%s", b).isCloseTo(number(b, "mse"), within(1e-12 * number(b, "mse")));
            assertThat(number(a, "snr_db")).as("%s", b).isCloseTo(number(b, "snr_db"), within(1e-9));
            // a forward pass in float32 with sums in another order; the schemes are further apart from the model
            double perplexity = number(b, "perplexity");
            assertThat(number(a, "perplexity")).as("%s", b).isCloseTo(perplexity, within(2e-5 * perplexity));
            assertThat(perplexity).isNotCloseTo(number(unquantized, "perplexity"), within(2e-5 * perplexity));
        }
        String report = Files.readString(out.resolve("compare.md"));
        assertThat(report)
                .contains(
                        "| unquantized |",
                        "| nf4-double | block64 | 4.1",
                        "## By layer",
                        "](histogram-nf4-block64.png)");
        for (String picture : List.of("histogram-absmax-int8-row", "normal-quantiles", "ranges", "blocks")) {
            assertThat(ImageIO.read(out.resolve(picture + ".png").toFile()).getHeight())
                    .isEqualTo(480);
        }
        assertThat(array(out.resolve("layers.json"))).hasSize(2 * found.size());
    }

    /** The weights that take the model's places are those of the directory that FakeQuantizer writes. */
    @Test
    void theWrittenModelHasThePerplexity() {
        for (String scheme : List.of("zeropoint-int3:tensor", "quantile4")) {
            Path model = dir.resolve("model-" + scheme.substring(0, 4));
            new FakeQuantizer(SchemeNames.parse(scheme).get(0))
                    .quantize(Path.of(LLAMA), model, name -> name.endsWith("_proj.weight"));
            Ran eval = Ran.qlora(
                    "eval",
                    "--model",
                    model.toString(),
                    "--data",
                    ROWS,
                    "--format",
                    "tokenized",
                    "--threads",
                    "1",
                    "--json");
            assertThat(eval.code()).as(eval.err()).isZero();
            Ran compare = Ran.qlora(
                    "compare",
                    "--model",
                    LLAMA,
                    "--data",
                    ROWS,
                    "--threads",
                    "1",
                    "--json",
                    "--schemes",
                    "absmax-int2:row," + scheme,
                    "--output",
                    dir.resolve("out-" + scheme.substring(0, 4)).toString());
            assertThat(compare.code()).as(compare.err()).isZero();
            JsonObject row = JsonParser.parseString(compare.out())
                    .getAsJsonArray()
                    .get(1)
                    .getAsJsonObject();
            assertThat(number(row, "perplexity"))
                    .isEqualTo(number(JsonParser.parseString(eval.out()).getAsJsonObject(), "perplexity"));
        }
    }

    @Test
    void withoutRowsAllKindsAreComparedButForPerplexity() throws IOException {
        Path out = dir.resolve("out");
        Ran ran = Ran.qlora("compare", "--model", LLAMA, "--output", out.toString());
        assertThat(ran.code()).as(ran.err()).isZero();
        assertThat(ran.out().lines()).hasSize(35);
        assertThat(ran.out().lines().findFirst().orElseThrow())
                .matches("scheme +granularity +bits/weight +mse +max error +SNR dB");
        assertThat(array(out.resolve("compare.json"))).hasSize(34).allSatisfy(row -> {
            assertThat(row.getAsJsonObject().keySet()).containsExactlyElementsOf(KEYS);
            assertThat(row.getAsJsonObject().get("perplexity").isJsonNull()).isTrue();
        });
        assertThat(dir.toFile().list()).containsExactly("out");
    }

    @Test
    void whatCannotBeDoneIsSaidAndLeavesNothing() throws IOException {
        Path out = dir.resolve("out");
        wrong(Main.WRONG_USE, "scheme nf5 is not known", "--model", LLAMA, "--schemes", "nf4,nf5", "--output", out);
        wrong(Main.WRONG_USE, "need --data", "--model", LLAMA, "--format", "text", "--output", out);
        wrong(Main.WRONG_USE, "--threads is 0", "--model", LLAMA, "--threads", "0", "--output", out);
        wrong(Main.WRONG_USE, "--output", "--model", LLAMA);
        wrong(Main.FAILED, "nowhere", "--model", dir.resolve("nowhere"), "--output", out);
        wrong(Main.FAILED, "none.jsonl", "--model", LLAMA, "--data", dir.resolve("none.jsonl"), "--output", out);
        Path quantized = GOLDEN.resolve("checkpoints/nf4-double");
        wrong(Main.FAILED, "quantized already", "--model", quantized, "--output", out);
        wrong(Main.FAILED, "quantized already", "--model", quantized, "--data", ROWS, "--output", out);
        assertThat(dir).isEmptyDirectory();
        Files.writeString(dir.resolve("mine"), "x");
        wrong(Main.FAILED, "not empty", "--model", LLAMA, "--output", dir);
        assertThat(dir.toFile().list()).containsExactly("mine");
    }

    private static void wrong(int code, String message, Object... args) {
        String[] all = new String[args.length + 1];
        all[0] = "compare";
        for (int i = 0; i < args.length; i++) {
            all[i + 1] = args[i].toString();
        }
        Ran ran = Ran.qlora(all);
        assertThat(ran.code()).as(ran.err()).isEqualTo(code);
        assertThat(ran.err()).contains(message).doesNotContain("internal error");
    }
}
