package io.github.qlora4j.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.github.qlora4j.trainer.config.ConfigFile;
import io.github.qlora4j.trainer.train.Trainer;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** score, eval, generate and chat, on tiny models and a run of ours. */
class ModelVerbsTest {

    private static final Path MODELS = Path.of("src/test/resources/golden/models");
    private static final String LLAMA = MODELS.resolve("llama").toString();

    @TempDir
    static Path temp;

    private static Path run;
    private static Path questions;

    @BeforeAll
    static void train() throws IOException {
        questions = temp.resolve("questions.json");
        Files.writeString(
                questions,
                "["
                        + IntStream.range(0, 8)
                                .mapToObj(i -> "{\"id\": " + i + ".50, \"instruction\": \"Count " + i
                                        + "\", \"input\": \"\", \"output\": \"ab ab\"}")
                                .collect(Collectors.joining(",\n"))
                        + "]");
        run = temp.resolve("run");
        Trainer.builder()
                .setConfig(ConfigFile.parse(
                        "{}",
                        "test.yaml",
                        List.of(
                                "model.path=" + LLAMA,
                                "quantization.load_in_4bit=true",
                                "quantization.bnb_4bit_compute_dtype=float32",
                                "model.dtype=float32",
                                "data.train=" + questions,
                                "data.cache_dir=" + temp.resolve("cache"),
                                "training.output_dir=" + run,
                                "training.max_steps=20",
                                "training.save_steps=10",
                                "training.gradient_accumulation_steps=2",
                                "training.learning_rate=2e-2",
                                "training.threads=1",
                                "lora.target_modules=all-linear")))
                .build()
                .train();
    }

    private static List<JsonObject> lines(Path file) throws IOException {
        return Files.readAllLines(file).stream()
                .map(line -> JsonParser.parseString(line).getAsJsonObject())
                .toList();
    }

    private static JsonObject json(Ran ran) {
        assertThat(ran.code()).as(ran.err()).isZero();
        assertThat(ran.out().lines()).hasSize(1);
        return JsonParser.parseString(ran.out()).getAsJsonObject();
    }

    private static void scores(String golden, String... more) throws IOException {
        scores(MODELS.resolve(golden), MODELS.resolve(golden).getParent(), more);
    }

    private static void scores(Path data, Path model, String... more) throws IOException {
        Path out = temp.resolve("scores.jsonl");
        List<String> args = new java.util.ArrayList<>(List.of(
                "score",
                "--model",
                model.toString(),
                "--data",
                data.toString(),
                "--output",
                out.toString(),
                "--dtype",
                "float32",
                "--threads",
                "1"));
        args.addAll(List.of(more));
        Ran ran = Ran.qlora(args.toArray(String[]::new));
        assertThat(ran.code()).as(ran.err()).isZero();
        List<JsonObject> expected = lines(data);
        List<JsonObject> found = lines(out);
        assertThat(found).hasSameSizeAs(expected);
        for (int i = 0; i < found.size(); i++) {
            assertThat(found.get(i).keySet()).containsExactly("input_ids", "logprobs");
            assertThat(found.get(i).get("input_ids")).isEqualTo(expected.get(i).get("input_ids"));
            JsonArray a = found.get(i).getAsJsonArray("logprobs");
            JsonArray b = expected.get(i).getAsJsonArray("logprobs");
            assertThat(a.size()).isEqualTo(b.size());
            for (int j = 0; j < a.size(); j++) {
                // 1e-4 is what float32 sums in another order come to
                assertThat(a.get(j).getAsDouble()).isCloseTo(b.get(j).getAsDouble(), within(1e-4));
            }
        }
        assertThat(temp.resolve("scores.jsonl.tmp")).doesNotExist();
    }

    @Test
    void scoresAsTransformersDoes() throws IOException {
        scores("llama/logprobs.jsonl");
        scores("qwen2/logprobs.jsonl");
        scores("llama/logprobs-nf4-fp32.jsonl", "--load-in-4bit");
        scores("llama/logprobs-nf4-single-fp32.jsonl", "--load-in-4bit", "--no-double-quant");
        scores("llama/logprobs-fp4-fp32.jsonl", "--load-in-4bit", "--quant-type", "fp4");
    }

    @Test
    void scoresWithAnAdapterOfPeftsAsPeftDoes() throws IOException {
        Path training = MODELS.resolveSibling("training");
        // an adapter, and the base it was trained on
        Map<String, String> bases = Map.of(
                "llama-gqa", "llama-gqa",
                "llama-rslora", "llama-tied",
                "llama-modules-to-save", "llama-theta",
                "qwen2", "qwen2");
        for (Map.Entry<String, String> base : bases.entrySet()) {
            Path adapter = training.resolve(base.getKey()).resolve("trained");
            scores(
                    adapter.resolveSibling("logprobs.jsonl"),
                    MODELS.resolve(base.getValue()),
                    "--adapter",
                    adapter.toString());
        }
    }

    @Test
    void scoresTextsWithTheirTokens() throws IOException {
        Path data = temp.resolve("texts.jsonl");
        Files.writeString(data, "\n{\"text\": \"ab cd\"}\n");
        Path out = temp.resolve("texts-out.jsonl");
        Ran ran = Ran.qlora(
                "score", "--model", LLAMA, "--data", data.toString(), "--output", out.toString(), "--dtype", "float32");
        assertThat(ran.code()).as(ran.err()).isZero();
        JsonObject row = lines(out).get(0);
        assertThat(row.getAsJsonArray("logprobs"))
                .hasSize(row.getAsJsonArray("input_ids").size() - 1);
    }

    @Test
    void namesTheLineOfABadRowAndLeavesNoFile() throws IOException {
        Path data = temp.resolve("bad.jsonl");
        Path out = temp.resolve("bad-out.jsonl");
        for (String bad : List.of("{\"input_ids\": [1, 9999]}", "{\"input_ids\": []}", "{\"x\": 1}", "[", "{\"a\":")) {
            Files.writeString(data, "{\"input_ids\": [1, 2]}\n" + bad + "\n");
            Ran ran = Ran.qlora("score", "--model", LLAMA, "--data", data.toString(), "--output", out.toString());
            assertThat(ran.code()).isEqualTo(Main.FAILED);
            assertThat(ran.err()).contains("bad.jsonl:2: ").doesNotContain("internal error");
            assertThat(out).doesNotExist();
            assertThat(temp.resolve("bad-out.jsonl.tmp")).doesNotExist();
        }
    }

    @Test
    void generatesGreedilyAsTransformersDoes() throws IOException {
        for (String name : List.of("llama", "qwen2", "mistral")) {
            JsonObject golden = JsonParser.parseString(
                            Files.readString(MODELS.resolve(name).resolve("generate.json")))
                    .getAsJsonObject();
            String ids = golden.get("input_ids").toString().replaceAll("[\\[\\] ]", "");
            JsonObject found = json(Ran.qlora(
                    "generate",
                    "--model",
                    MODELS.resolve(name).toString(),
                    "--input-ids",
                    ids,
                    "--dtype",
                    "float32",
                    "--max-new-tokens",
                    "200",
                    "--json"));
            assertThat(found.get("output_ids")).isEqualTo(golden.get("output_ids"));
            assertThat(found.get("new_tokens").getAsInt()).isEqualTo(200);
            assertThat(found.get("tokens_per_second").getAsDouble()).isPositive();
            assertThat(found.keySet())
                    .containsExactly("text", "output_ids", "new_tokens", "tokens_per_second", "peak_rss_bytes");
        }
    }

    @Test
    void anAdapterAloneIsEnough() {
        JsonObject found = json(Ran.qlora("generate", "--adapter", run.toString(), "--prompt", "Count 3", "--json"));
        assertThat(found.get("text").getAsString()).isEqualTo("ab ab");
        // the last is EOS
        JsonArray ids = found.getAsJsonArray("output_ids");
        assertThat(ids.get(ids.size() - 1).getAsInt()).isEqualTo(2);

        JsonObject eval =
                json(Ran.qlora("eval", "--adapter", run.toString(), "--data", questions.toString(), "--json"));
        assertThat(eval.get("loss").getAsDouble()).isLessThan(0.5);
        assertThat(eval.get("perplexity").getAsDouble())
                .isCloseTo(Math.exp(eval.get("loss").getAsDouble()), within(1e-9));
        assertThat(eval.get("tokens").getAsLong()).isPositive();
        Ran without = Ran.qlora("eval", "--adapter", run.toString());
        assertThat(without.code()).isEqualTo(2);
        assertThat(without.err()).contains("which rows? Give --data FILE; the run has none in data.eval");

        assertThat(Ran.qlora(
                        "generate", "--adapter", run.resolve("checkpoint-20").toString(), "--prompt", "Count 3"))
                .satisfies(r -> assertThat(r.code()).as(r.err()).isZero())
                .extracting(Ran::out)
                .isEqualTo("ab ab" + System.lineSeparator());
    }

    @Test
    void theBaseIsReadAsTheFlagsSayWhereTheModelIsNamed() {
        JsonObject same = json(Ran.qlora(
                "eval",
                "--adapter",
                run.toString(),
                "--model",
                LLAMA,
                "--dtype",
                "float32",
                "--load-in-4bit",
                "--data",
                questions.toString(),
                "--json"));
        JsonObject dense = json(Ran.qlora(
                "eval",
                "--adapter",
                run.toString(),
                "--model",
                LLAMA,
                "--dtype",
                "float32",
                "--data",
                questions.toString(),
                "--json"));
        JsonObject alone =
                json(Ran.qlora("eval", "--adapter", run.toString(), "--data", questions.toString(), "--json"));
        assertThat(same).isEqualTo(alone).isNotEqualTo(dense);
    }

    @Test
    void answersManyRowsAndKeepsTheirFields() throws IOException {
        Path out = temp.resolve("answers.json");
        Ran ran = Ran.qlora(
                "generate", "--adapter", run.toString(), "--data", questions.toString(), "--output", out.toString());
        assertThat(ran.code()).as(ran.err()).isZero();
        String text = Files.readString(out);
        JsonArray rows = JsonParser.parseString(text).getAsJsonArray();
        assertThat(rows).hasSize(8);
        rows.forEach(row -> assertThat(row.getAsJsonObject().keySet())
                .containsExactly("id", "instruction", "input", "output", "generated"));
        assertThat(text).contains("\"id\":3.50");
        assertThat(rows.get(3).getAsJsonObject().get("generated").getAsString()).isEqualTo("ab ab");

        Path lines = temp.resolve("answers.jsonl");
        Ran again =
                Ran.qlora("generate", "--adapter", run.toString(), "--data", out.toString(), "--output", "" + lines);
        assertThat(again.code()).as(again.err()).isZero();
        assertThat(lines(lines)).hasSize(8);
    }

    @Test
    void drawsTheSameBySeed() {
        String[] drawn = new String[3];
        for (int i = 0; i < 3; i++) {
            drawn[i] = json(Ran.qlora(
                            "generate",
                            "--model",
                            LLAMA,
                            "--prompt",
                            "ab",
                            "--temperature",
                            "1",
                            "--max-new-tokens",
                            "20",
                            "--seed",
                            i < 2 ? "7" : "8",
                            "--json"))
                    .get("output_ids")
                    .toString();
        }
        assertThat(drawn[1]).isEqualTo(drawn[0]);
        assertThat(drawn[2]).isNotEqualTo(drawn[0]);
    }

    @Test
    void chatsOverAPipe() {
        InputStream before = System.in;
        System.setIn(new ByteArrayInputStream(
                "Count 3\n\nCount 3\n/clear\nCount 3\n/exit\nCount 4\n".getBytes(StandardCharsets.UTF_8)));
        try {
            Ran ran = Ran.qlora("chat", "--adapter", run.toString(), "--max-new-tokens", "20");
            assertThat(ran.code()).as(ran.err()).isZero();
            List<String> answers = ran.out().lines().toList();
            assertThat(answers.get(0)).isEqualTo("ab ab");
            assertThat(answers.get(answers.size() - 1)).isEqualTo("ab ab");
            assertThat(ran.out()).doesNotContain("> ");
        } finally {
            System.setIn(before);
        }
    }

    @Test
    void wrongUseIsToldApart() throws IOException {
        assertThat(Ran.qlora("generate", "--prompt", "a").code()).isEqualTo(Main.WRONG_USE);
        assertThat(Ran.qlora("generate", "--model", LLAMA).code()).isEqualTo(Main.WRONG_USE);
        assertThat(Ran.qlora("generate", "--model", LLAMA, "--prompt", "a", "--top-p", "0")
                        .code())
                .isEqualTo(Main.WRONG_USE);
        assertThat(Ran.qlora("generate", "--adapter", run.toString(), "--prompt", "a", "--dtype", "float32"))
                .satisfies(r -> assertThat(r.code()).isEqualTo(Main.WRONG_USE))
                .satisfies(r -> assertThat(r.err()).contains("--model"));
        assertThat(Ran.qlora("generate", "--model", LLAMA, "--prompt", "a", "--quant-type", "fp4")
                        .code())
                .isEqualTo(Main.WRONG_USE);
        assertThat(Ran.qlora("chat", "--model", LLAMA).err()).contains("template");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "                                                              | --model DIR.",
                "{load_in_4bit: true}                                          | --model DIR --load-in-4bit.",
                "{load_in_4bit: true, bnb_4bit_use_double_quant: false}        | --load-in-4bit --no-double-quant.",
                "{load_in_4bit: true, bnb_4bit_quant_type: fp4, blocksize: 128} | --quant-type fp4 --blocksize 128.",
                "{load_in_8bit: true}                                          | --model DIR --load-in-8bit.",
            })
    void saysWhereAMovedBaseWasAndHowItWasRead(String quantization, String flags) throws IOException {
        Path moved = movedRun(quantization);
        Ran ran = Ran.qlora("generate", "--adapter", moved.toString(), "--prompt", "a");
        assertThat(ran.code()).isEqualTo(Main.FAILED);
        assertThat(ran.err()).contains("models/gone", flags);
    }

    @Test
    void anAdapterOfAnotherProgramDoesNotSayHowItsBaseWasRead() throws IOException {
        Path moved = movedRun(null);
        Files.delete(moved.resolve("qlora.yaml"));
        Path config = moved.resolve("adapter_config.json");
        Files.writeString(config, Files.readString(config).replace(LLAMA, "models/gone"));
        Ran ran = Ran.qlora("generate", "--adapter", moved.toString(), "--prompt", "a");
        assertThat(ran.err()).contains("models/gone", "--model DIR", "--load-in-4bit or --load-in-8bit");
        assertThat(Ran.qlora("generate", "--adapter", temp.toString(), "--prompt", "a")
                        .err())
                .contains("adapter_config.json");
    }

    /** The run's files, naming a base that is not there. */
    private Path movedRun(String quantization) throws IOException {
        Path moved = Files.createTempDirectory(temp, "moved");
        for (String name : List.of("adapter_config.json", "adapter_model.safetensors")) {
            Files.copy(run.resolve(name), moved.resolve(name));
        }
        String config = Files.readString(run.resolve("qlora.yaml"));
        assertThat(config).contains(LLAMA).contains("\nquantization:\n");
        Files.writeString(
                moved.resolve("qlora.yaml"),
                config.replace(LLAMA, "models/gone")
                        .replaceFirst(
                                "(?m)^quantization:\n(?: .*\n)+",
                                quantization == null ? "" : "quantization: " + quantization + "\n"));
        return moved;
    }
}
