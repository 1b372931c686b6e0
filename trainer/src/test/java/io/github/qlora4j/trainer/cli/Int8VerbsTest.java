package io.github.qlora4j.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.github.qlora4j.trainer.config.ConfigFile;
import io.github.qlora4j.trainer.train.Trainer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Bases in 8 bits from the command line: scored, quantized, looked at, trained on and merged. */
class Int8VerbsTest {

    private static final Path GOLDEN = Path.of("src/test/resources/golden");
    private static final Path MODEL = GOLDEN.resolve("models/llama-gqa");
    private static final Path SCORES = GOLDEN.resolve("int8/llama-gqa-int8-0-fp32.jsonl");

    @TempDir
    private Path temp;

    private List<JsonObject> scores(Path model, String... more) throws IOException {
        Path out = temp.resolve("scores.jsonl");
        List<String> args = new ArrayList<>(List.of("score", "--model", model.toString()));
        args.addAll(List.of("--data", SCORES.toString(), "--output", out.toString()));
        args.addAll(List.of("--dtype", "float32", "--threads", "1"));
        args.addAll(List.of(more));
        Ran ran = Ran.qlora(args.toArray(String[]::new));
        assertThat(ran.code()).as(ran.err()).isZero();
        return lines(out);
    }

    private static List<JsonObject> lines(Path file) throws IOException {
        return Files.readAllLines(file).stream()
                .map(line -> JsonParser.parseString(line).getAsJsonObject())
                .toList();
    }

    // without outliers rows do not see each other; 1e-4 is what float32 sums in another order come to
    @Test
    void scoresAsTransformersDoes_quantizedOnLoadingOrStored() throws IOException {
        List<JsonObject> found = scores(MODEL, "--load-in-8bit", "--llm-int8-threshold", "0");
        List<JsonObject> expected = lines(SCORES);
        assertThat(found).hasSameSizeAs(expected);
        for (int i = 0; i < found.size(); i++) {
            JsonArray a = found.get(i).getAsJsonArray("logprobs");
            JsonArray b = expected.get(i).getAsJsonArray("logprobs");
            assertThat(a.size()).isEqualTo(b.size());
            for (int j = 0; j < a.size(); j++) {
                assertThat(a.get(j).getAsDouble()).isCloseTo(b.get(j).getAsDouble(), within(1e-4));
            }
        }
        Path stored = quantize("--llm-int8-threshold", "0");
        assertThat(scores(stored)).isEqualTo(found);
        assertThat(scores(MODEL)).isNotEqualTo(found);
    }

    @Test
    void onTheDisk_scoresAreTheSame() throws IOException {
        String offload = temp.resolve("offload").toString();
        List<JsonObject> memory = scores(MODEL, "--load-in-8bit");
        assertThat(scores(MODEL, "--load-in-8bit", "--device-map", "disk", "--offload-folder", offload))
                .isEqualTo(memory);
        // what is on the disk stays in float32 where that is asked for
        String map = "{\"\": cpu, model.layers: disk}";
        assertThat(scores(MODEL, "--load-in-8bit", "--device-map", map, "--llm-int8-enable-fp32-cpu-offload"))
                .isEqualTo(scores(MODEL));
    }

    private Path quantize(String... more) {
        Path out = temp.resolve("int8");
        List<String> args = new ArrayList<>(List.of("quantize", "--model", MODEL.toString()));
        args.addAll(List.of("--output", out.toString(), "--method", "bnb-8bit"));
        args.addAll(List.of(more));
        Ran ran = Ran.qlora(args.toArray(String[]::new));
        assertThat(ran.code()).as(ran.err()).isZero();
        return out;
    }

    @Test
    void inspect_showsItsDtypesAndTheFootprintThatPlanForetells() {
        JsonObject stored = json("inspect", quantize().toString(), "--json");
        assertThat(stored.get("kind").getAsString()).isEqualTo("8-bit model");
        List<JsonObject> tensors = stored.getAsJsonArray("tensors").asList().stream()
                .map(tensor -> tensor.getAsJsonObject())
                .toList();
        assertThat(tensors).noneMatch(tensor -> tensor.get("name").getAsString().contains("SCB"));
        assertThat(tensors.stream().filter(tensor -> tensor.has("quantization")))
                .hasSize(14)
                .allSatisfy(tensor -> {
                    assertThat(tensor.get("dtype").getAsString()).isEqualTo("I8");
                    assertThat(tensor.get("quantization").getAsString()).isEqualTo("LLM.int8(), a scale a row");
                });
        JsonObject plan = json("plan", "--model", MODEL.toString(), "--load-in-8bit", "--json");
        assertThat(stored.get("footprint_bytes")).isEqualTo(plan.get("footprint_bytes"));
    }

    private static JsonObject json(String... args) {
        Ran ran = Ran.qlora(args);
        assertThat(ran.code()).as(ran.err()).isZero();
        return JsonParser.parseString(ran.out()).getAsJsonObject();
    }

    // with no outliers and float32 throughout the merged model differs by the rounding of activations to int8 alone
    @Test
    void aRunOnAnInt8Base_isScoredAndMerged() {
        Path run = temp.resolve("run");
        Path rows = GOLDEN.resolve("training/rows.jsonl");
        Trainer.builder()
                .setConfig(ConfigFile.parse(
                        "quantization: {load_in_8bit: true, llm_int8_threshold: 5}",
                        "test.yaml",
                        List.of(
                                "model.path=" + GOLDEN.resolve("models/llama"),
                                "model.dtype=float32",
                                "data.train=" + rows,
                                "data.eval=" + rows,
                                "data.format=tokenized",
                                "data.cache_dir=" + temp.resolve("cache"),
                                "training.output_dir=" + run,
                                "training.max_steps=6",
                                "training.learning_rate=5e-3",
                                "training.threads=1")))
                .build()
                .train();
        Ran eval = Ran.qlora(
                "eval", "--adapter", run.toString(), "--data", rows.toString(), "--format", "tokenized", "--json");
        assertThat(eval.code()).as(eval.err()).isZero();
        Path merged = temp.resolve("merged");
        Ran merge =
                Ran.qlora("merge", "--adapter", run.toString(), "--output", merged.toString(), "--dtype", "float32");
        assertThat(merge.code()).as(merge.err()).isZero();
        assertThat(merge.out() + merge.err()).contains("quantized to int8 row by row and back");
        Ran after = Ran.qlora(
                "eval", "--model", merged.toString(), "--data", rows.toString(), "--format", "tokenized", "--json");
        assertThat(after.code()).as(after.err()).isZero();
        assertThat(loss(after)).isCloseTo(loss(eval), within(0.05));
        assertThat(mergedOntoStored(run, GOLDEN + "/models/llama").resolve("model.safetensors"))
                .as("onto the same weights, stored in int8")
                .hasSameBinaryContentAs(merged.resolve("model.safetensors"));
    }

    private Path mergedOntoStored(Path run, String model) {
        String stored = temp.resolve("stored").toString();
        Path merged = temp.resolve("onto-stored");
        ok("quantize --method bnb-8bit --llm-int8-threshold 5 --model " + model + " --output " + stored);
        ok("merge --dtype float32 --adapter " + run + " --model " + stored + " --output " + merged);
        return merged;
    }

    private static void ok(String args) {
        Ran ran = Ran.qlora(args.split(" "));
        assertThat(ran.code()).as(ran.err()).isZero();
    }

    private static double loss(Ran eval) {
        return JsonParser.parseString(eval.out()).getAsJsonObject().get("loss").getAsDouble();
    }

    @Test
    void flagsThatDoNotFit_areWrongUse() {
        wrongUse("exclude each other", "score", "--load-in-8bit", "--load-in-4bit");
        wrongUse("not of --load-in-8bit", "score", "--load-in-8bit", "--quant-type", "nf4");
        wrongUse("needs --load-in-8bit", "score", "--llm-int8-threshold", "5");
        wrongUse("a number of 0 or more is expected", "score", "--load-in-8bit", "--llm-int8-threshold", "-1");
        wrongUse("needs --method bnb-8bit", "quantize", "--llm-int8-threshold", "5");
        wrongUse("needs --method bnb-8bit", "quantize", "--method", "awq", "--llm-int8-threshold", "5");
        wrongUse("need --method bnb-4bit", "quantize", "--method", "gptq", "--blocksize", "64");
        wrongUse("for --method gptq or awq", "quantize", "--method", "bnb-8bit", "--bits", "8");
        wrongUse("need --method bnb-4bit", "quantize", "--method", "bnb-8bit", "--blocksize", "64");
        wrongUse("--method is int8; bnb-4bit, bnb-8bit, gptq or awq is expected", "quantize", "--method", "int8");
    }

    private void wrongUse(String message, String verb, String... flags) {
        List<String> args = new ArrayList<>(List.of(verb, "--model", MODEL.toString()));
        args.addAll(List.of("--output", temp.resolve("out").toString()));
        if (verb.equals("score")) {
            args.addAll(List.of("--data", SCORES.toString()));
        }
        args.addAll(List.of(flags));
        Ran ran = Ran.qlora(args.toArray(String[]::new));
        assertThat(ran.code()).as(ran.err()).isEqualTo(Main.WRONG_USE);
        assertThat(ran.err()).contains(message);
    }
}
