package io.github.qlora4j.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The verbs that compute, on a tiny model: train, score, eval, generate, merge, quantize. */
class RunVerbsTest {

    private static final String LLAMA = "src/test/resources/golden/models/llama";

    @TempDir
    Path temp;

    private Path rows;

    @BeforeEach
    void writeRows() throws IOException {
        rows = temp.resolve("rows.json");
        Files.writeString(
                rows,
                "[{\"instruction\": \"Say a\", \"input\": \"\", \"output\": \"aaa\"},"
                        + " {\"instruction\": \"Say b\", \"input\": \"twice\", \"output\": \"bb\"}]");
    }

    private Ran train(Path out, String... more) {
        List<String> arguments = new java.util.ArrayList<>(List.of("train", config().toString()));
        arguments.addAll(List.of("--set", "training.output_dir=" + out));
        arguments.addAll(List.of(more));
        return Ran.qlora(arguments.toArray(String[]::new));
    }

    private Path config() {
        try {
            Path file = temp.resolve("run.yaml");
            Files.writeString(
                    file,
                    "model: {path: " + LLAMA + "}\n"
                            + "quantization: {load_in_4bit: true, bnb_4bit_compute_dtype: float32}\n"
                            + "data: {train: " + rows + ", cache_dir: " + temp.resolve("cache") + "}\n"
                            + "training: {max_steps: 3, threads: 1, learning_rate: 1.0e-2}\n");
            return file;
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    @Test
    void scoresAsPythonDoes() throws IOException {
        Path golden = Path.of(LLAMA).resolve("logprobs.jsonl");
        Path out = temp.resolve("scores.jsonl");
        Ran ran = Ran.qlora(
                "score",
                "--model",
                LLAMA,
                "--dtype",
                "float32",
                "--data",
                golden.toString(),
                "--output",
                out.toString());
        assertThat(ran.code()).as(ran.err()).isZero();
        List<String> found = Files.readAllLines(out);
        List<String> expected = Files.readAllLines(golden);
        assertThat(found).hasSameSizeAs(expected);
        for (int r = 0; r < found.size(); r++) {
            JsonArray ours =
                    JsonParser.parseString(found.get(r)).getAsJsonObject().getAsJsonArray("logprobs");
            JsonArray theirs =
                    JsonParser.parseString(expected.get(r)).getAsJsonObject().getAsJsonArray("logprobs");
            assertThat(ours).hasSize(theirs.size());
            for (int i = 0; i < ours.size(); i++) {
                assertThat(ours.get(i).getAsDouble())
                        .isCloseTo(theirs.get(i).getAsDouble(), org.assertj.core.api.Assertions.within(1e-4));
            }
        }
    }

    @Test
    void generatesThePythonTokensFromIds() throws IOException {
        JsonObject golden = JsonParser.parseString(
                        Files.readString(Path.of(LLAMA).resolve("generate.json")))
                .getAsJsonObject();
        String ids = golden.get("input_ids").toString().replaceAll("[\\[\\]\\s]", "");
        int count = golden.getAsJsonArray("output_ids").size();
        Ran ran = Ran.qlora(
                "generate",
                "--model",
                LLAMA,
                "--dtype",
                "float32",
                "--input-ids",
                ids,
                "--max-new-tokens",
                "" + count,
                "--json");
        assertThat(ran.code()).as(ran.err()).isZero();
        JsonObject found = JsonParser.parseString(ran.out()).getAsJsonObject();
        assertThat(found.get("output_ids")).isEqualTo(golden.get("output_ids"));
        assertThat(found.get("new_tokens").getAsInt()).isEqualTo(count);
        assertThat(found.keySet())
                .containsExactly("text", "output_ids", "new_tokens", "tokens_per_second", "peak_rss_bytes");
    }

    @Test
    void drawsTheSameTextFromTheSameSeed() {
        String[] command = {
            "generate",
            "--model",
            LLAMA,
            "--prompt",
            "ab",
            "--max-new-tokens",
            "12",
            "--temperature",
            "0.9",
            "--top-k",
            "20",
            "--top-p",
            "0.9",
            "--repetition-penalty",
            "1.1",
            "--seed",
            "7"
        };
        assertThat(Ran.qlora(command).out()).isEqualTo(Ran.qlora(command).out()).isNotBlank();
    }

    @Test
    void aRunAloneIsEnoughToGenerateEvaluateAndMerge() throws IOException {
        Path run = temp.resolve("run");
        Ran trained = train(run, "--set", "data.eval=" + rows);
        assertThat(trained.code()).as(trained.err()).isZero();
        assertThat(trained.err()).contains("trainable params").doesNotContain("Exception");

        Path answers = temp.resolve("answers.json");
        Ran generated = Ran.qlora(
                "generate",
                "--adapter",
                run.toString(),
                "--data",
                rows.toString(),
                "--output",
                answers.toString(),
                "--max-new-tokens",
                "4");
        assertThat(generated.code()).as(generated.err()).isZero();
        assertThat(JsonParser.parseString(Files.readString(answers)).getAsJsonArray())
                .allSatisfy(row ->
                        assertThat(row.getAsJsonObject().keySet()).contains("instruction", "output", "generated"));

        Ran evaluated = Ran.qlora("eval", "--adapter", run.toString(), "--data", rows.toString(), "--json");
        assertThat(evaluated.code()).as(evaluated.err()).isZero();
        assertThat(Ran.qlora("eval", "--adapter", run.toString(), "--json").out())
                .as("of the run's own data.eval")
                .isEqualTo(evaluated.out());
        assertThat(JsonParser.parseString(evaluated.out())
                        .getAsJsonObject()
                        .get("loss")
                        .getAsDouble())
                .isPositive();

        Path merged = temp.resolve("merged");
        Ran merging =
                Ran.qlora("merge", "--adapter", run.toString(), "--output", merged.toString(), "--dtype", "float32");
        assertThat(merging.code()).as(merging.err()).isZero();
        assertThat(merging.err()).contains("nf4");
        assertThat(mergedOntoStored(run).resolve("model.safetensors"))
                .as("onto the same weights, stored in 4 bits")
                .hasSameBinaryContentAs(merged.resolve("model.safetensors"));
        Ran whole = Ran.qlora(
                "eval",
                "--model",
                merged.toString(),
                "--data",
                rows.toString(),
                "--template",
                "human_assistant",
                "--json");
        // the run keeps what is not quantized in bfloat16 (2^-9 a rounding, losses near 5), the merged model is float32
        assertThat(JsonParser.parseString(whole.out())
                        .getAsJsonObject()
                        .get("loss")
                        .getAsDouble())
                .isCloseTo(
                        JsonParser.parseString(evaluated.out())
                                .getAsJsonObject()
                                .get("loss")
                                .getAsDouble(),
                        org.assertj.core.api.Assertions.within(2e-2));
    }

    private Path mergedOntoStored(Path run) {
        String stored = temp.resolve("stored").toString();
        Path merged = temp.resolve("onto-stored");
        Ran quantized = Ran.qlora("quantize", "--model", LLAMA, "--output", stored);
        assertThat(quantized.code()).as(quantized.err()).isZero();
        String adapter = run.toString();
        Ran ran = Ran.qlora(
                "merge", "--adapter", adapter, "--model", stored, "--output", merged.toString(), "--dtype", "float32");
        assertThat(ran.code()).as(ran.err()).isZero();
        assertThat(ran.err()).contains("dequantized bitsandbytes weights of " + stored);
        return merged;
    }

    @Test
    void quantizesToADirectoryThatLoadsAsFourBits() throws IOException {
        Path out = temp.resolve("nf4");
        Ran ran = Ran.qlora("quantize", "--model", LLAMA, "--output", out.toString(), "--compute-dtype", "float32");
        assertThat(ran.code()).as(ran.err()).isZero();
        Path golden = Path.of(LLAMA).resolve("logprobs.jsonl");
        Path stored = temp.resolve("stored.jsonl");
        Path onTheFly = temp.resolve("fly.jsonl");
        Ran.qlora("score", "--model", out.toString(), "--data", golden.toString(), "--output", stored.toString());
        Ran.qlora(
                "score",
                "--model",
                LLAMA,
                "--load-in-4bit",
                "--compute-dtype",
                "float32",
                "--data",
                golden.toString(),
                "--output",
                onTheFly.toString());
        assertThat(stored).hasSameTextualContentAs(onTheFly);
    }

    @Test
    void quantizesWithCalibrationAndSaysHowLongItTakes() throws IOException {
        Path texts = temp.resolve("texts.jsonl");
        Files.writeString(
                texts, "{\"text\": \"What is the capital of France?\"}\n{\"input_ids\": [4, 5, 6, 7, 8, 9]}\n");
        for (String method : new String[] {"gptq", "awq"}) {
            Path out = temp.resolve(method);
            Ran ran = Ran.qlora(
                    "quantize",
                    "--model",
                    LLAMA,
                    "--output",
                    out.toString(),
                    "--method",
                    method,
                    "--group-size",
                    "16",
                    "--calibration",
                    texts.toString(),
                    "--calibration-length",
                    "8");
            assertThat(ran.code()).as(ran.err()).isZero();
            assertThat(ran.err())
                    .contains("2 calibration texts")
                    .contains("block 1/2")
                    .contains("0:00 left");
            Path scores = temp.resolve(method + ".jsonl");
            Path rows = Path.of(LLAMA).resolve("logprobs.jsonl");
            assertThat(Ran.qlora(
                                    "score",
                                    "--model",
                                    out.toString(),
                                    "--data",
                                    rows.toString(),
                                    "--output",
                                    scores.toString())
                            .code())
                    .isZero();
            assertThat(scores).isNotEmptyFile();
            trainsAnswersAndMerges(method, out);
        }
    }

    private void trainsAnswersAndMerges(String method, Path base) throws IOException {
        Path run = temp.resolve(method + "-run");
        Ran again = train(run, "--set", "model.path=" + base);
        assertThat(again.code()).isEqualTo(Main.FAILED);
        assertThat(again.err()).contains(base + ": the base is stored by " + method, "load_in_4bit");
        Ran trained = train(run, "--set", "model.path=" + base, "--set", "quantization=null");
        assertThat(trained.code()).as(trained.err()).isZero();
        Ran answered = Ran.qlora(
                "generate", "--adapter", run.toString(), "--input-ids", "4,5,6", "--max-new-tokens", "3", "--json");
        assertThat(answered.code()).as(answered.err()).isZero();
        Path merged = temp.resolve(method + "-merged");
        Ran ran = Ran.qlora("merge", "--adapter", run.toString(), "--output", merged.toString());
        assertThat(ran.code()).as(ran.err()).isZero();
        assertThat(ran.err()).contains("dequantized " + method + " weights");
        assertThat(Files.readString(merged.resolve("config.json"))).doesNotContain("quantization_config");
        try (ModelDirectory files = ModelDirectory.open(merged)) {
            assertThat(files.names()).noneMatch(name -> name.endsWith(".qweight") || name.endsWith(".scales"));
            assertThat(files.info("model.layers.1.mlp.down_proj.weight").shape())
                    .containsExactly(64, 128);
        }
    }

    @Test
    void calibrationFlagsThatDoNotFitTheMethodAreNamed() {
        String out = temp.resolve("never").toString();
        Ran bnb = Ran.qlora("quantize", "--model", LLAMA, "--output", out, "--bits", "4");
        assertThat(bnb.code()).isEqualTo(2);
        assertThat(bnb.err()).contains("for --method gptq or awq");
        Ran none = Ran.qlora("quantize", "--model", LLAMA, "--output", out, "--method", "gptq");
        assertThat(none.code()).isEqualTo(2);
        assertThat(none.err()).contains("needs --calibration FILE");
        Ran awq = Ran.qlora("quantize", "--model", LLAMA, "--output", out, "--method", "awq", "--no-sym");
        assertThat(awq.code()).isEqualTo(2);
        assertThat(awq.err()).contains("--sym and --desc-act are for gptq");
        Ran other = Ran.qlora("quantize", "--model", LLAMA, "--output", out, "--method", "exl2");
        assertThat(other.code()).isEqualTo(2);
        assertThat(other.err()).contains("bnb-4bit, bnb-8bit, gptq or awq is expected");
    }

    @Test
    void aUsedDirectoryAMissingModelAndAWrongFlagAreOneLineEach() {
        Path run = temp.resolve("run");
        train(run);
        Ran again = train(run);
        assertThat(again.code()).isEqualTo(1);
        assertThat(again.err()).contains("--resume").contains("--overwrite").doesNotContain("\tat ");
        Ran missing = Ran.qlora("generate", "--model", "no/such/model", "--prompt", "x");
        assertThat(missing.code()).isEqualTo(1);
        assertThat(missing.err()).contains("no/such/model").doesNotContain("\tat ");
        assertThat(Ran.qlora("generate", "--model", LLAMA).code()).isEqualTo(2);
        assertThat(Ran.qlora("generate", "--prompt", "x").code()).isEqualTo(2);
        assertThat(Ran.qlora("train", "no.yaml").code()).isEqualTo(2);
    }

    @Test
    void whatIsWrongWithARunIsSaidInOneBreath_andLeavesNoRunBehind() throws IOException {
        Path out = temp.resolve("wrong");
        Path taken = Files.writeString(temp.resolve("taken"), "a file");
        Path cut = temp.resolve("cut");
        Files.createDirectory(cut);
        try (var files = Files.list(Path.of(LLAMA))) {
            for (Path file : files.filter(Files::isRegularFile).toList()) {
                Files.copy(file, cut.resolve(file.getFileName().toString()));
            }
        }
        Path weights = cut.resolve("model.safetensors");
        byte[] whole = Files.readAllBytes(weights);
        Files.write(weights, java.util.Arrays.copyOf(whole, whole.length - 1000));
        Path empty = Files.writeString(temp.resolve("empty.json"), "[]");

        refuses(1, "no/such/model", out, "--set", "model.path=no/such/model");
        refuses(1, "model.safetensors", out, "--set", "model.path=" + cut);
        refuses(1, "has no rows", out, "--set", "data.train=" + empty);
        refuses(1, "is a file", taken);
        refuses(1, "cannot be written", taken.resolve("below"));
        refuses(2, "did you mean learning_rate?", out, "--set", "training.learnin_rate=1");
        refuses(2, "mutually exclusive", out, "--resume", "--overwrite");
        assertThat(out.resolve("metrics.jsonl")).doesNotExist();
        assertThat(taken).hasContent("a file");
    }

    private void refuses(int code, String part, Path out, String... more) {
        Ran ran = train(out, more);
        assertThat(ran.code()).as(ran.err()).isEqualTo(code);
        assertThat(ran.err())
                .contains("error: ")
                .contains(part)
                .doesNotContain("\tat ")
                .doesNotContain("error: Error")
                .doesNotContain("internal error");
        assertThat(ran.out()).isEmpty();
    }

    @Test
    void aRunHoldsItsDirectory() throws IOException {
        Path out = Files.createDirectories(temp.resolve("held"));
        try (var channel = java.nio.channels.FileChannel.open(
                        out.resolve(".lock"),
                        java.nio.file.StandardOpenOption.CREATE,
                        java.nio.file.StandardOpenOption.WRITE);
                var lock = channel.lock()) {
            assertThat(lock.isValid()).isTrue();
            refuses(1, "another run is writing to", out);
            refuses(1, "another run is writing to", out, "--resume");
        }
        assertThat(train(out).code()).isZero();
    }

    @Test
    void countsHeldOutAnswersBeforeAndAfter_andKeepsTheFirstCountOverAResume() {
        Path out = temp.resolve("answers");
        String[] asked = {
            "--set", "data.eval=" + rows,
            "--set", "training.predict_with_generate=true",
            "--set", "training.generation_max_new_tokens=4"
        };
        Ran ran = train(out, asked);
        assertThat(ran.code()).as(ran.err()).isZero();
        assertThat(ran.out())
                .matches("held-out answers right: \\d+\\.\\d % before, \\d+\\.\\d % after \\(2 instructions\\)\n");
        List<String> resume = new java.util.ArrayList<>(List.of(asked));
        resume.add("--resume");
        Ran again = train(out, resume.toArray(String[]::new));
        assertThat(again.code()).as(again.err()).isZero();
        assertThat(again.out()).isEqualTo(ran.out());
        assertThat(again.err()).doesNotContain("right before training");
    }
}
