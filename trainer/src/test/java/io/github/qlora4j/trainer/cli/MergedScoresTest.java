package io.github.qlora4j.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.trainer.generate.LanguageModel;
import io.github.qlora4j.trainer.generate.ModelSource;
import io.github.qlora4j.trainer.model.BaseOptions;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** A merged model scores as peft's base with the adapter beside it, with every option of LoRA. */
class MergedScoresTest {

    private static final Path GOLDEN = Path.of("src/test/resources/golden");

    @TempDir
    Path temp;

    // not int8-fp32: bitsandbytes rounds activations to int8 for those scores, a merged model does not (Int8VerbsTest)
    static List<String> runs() throws IOException {
        try (Stream<Path> all = Files.list(GOLDEN.resolve("training"))) {
            return all.filter(Files::isDirectory)
                    .map(p -> p.getFileName().toString())
                    .filter(name -> curve(name).get("mode").getAsString().matches("(nf4-)?fp32"))
                    .sorted()
                    .toList();
        }
    }

    private static JsonObject curve(String name) {
        return json(read(GOLDEN.resolve("training").resolve(name).resolve("curve.json")));
    }

    private static String read(Path file) {
        try {
            return Files.readString(file);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static JsonObject json(String text) {
        return JsonParser.parseString(text).getAsJsonObject();
    }

    // float32 throughout: (W + scaling·B·A)·x and W·x + scaling·B·(A·x) round elsewhere, no more
    @ParameterizedTest
    @MethodSource("runs")
    void scoresAsBaseAndAdapter(String name) {
        Path run = GOLDEN.resolve("training").resolve(name);
        Path merged = temp.resolve("merged");
        List<String> args = new ArrayList<>(List.of(
                "merge",
                "--model",
                GOLDEN.resolve("models")
                        .resolve(curve(name).get("model").getAsString())
                        .toString(),
                "--adapter",
                run.resolve("trained").toString(),
                "--output",
                merged.toString(),
                "--dtype",
                "float32"));
        if (curve(name).get("mode").getAsString().equals("nf4-fp32")) {
            args.addAll(List.of("--load-in-4bit", "--compute-dtype", "float32"));
        }
        Ran ran = Ran.qlora(args.toArray(String[]::new));
        assertThat(ran.code()).as(ran.err()).isZero();
        try (LanguageModel model =
                LanguageModel.open(ModelSource.ofModel(merged, BaseOptions.unquantized(Dtype.FLOAT32)))) {
            read(run.resolve("logprobs.jsonl"))
                    .lines()
                    .map(MergedScoresTest::json)
                    .forEach(row -> {
                        float[] found = model.score(ints(row.getAsJsonArray("input_ids")));
                        JsonArray expected = row.getAsJsonArray("logprobs");
                        assertThat(found).hasSize(expected.size());
                        for (int i = 0; i < found.length; i++) {
                            assertThat(found[i])
                                    .as("%s, position %d", name, i)
                                    .isCloseTo(expected.get(i).getAsFloat(), within(1e-4f));
                        }
                    });
        }
    }

    private static int[] ints(JsonArray array) {
        return IntStream.range(0, array.size())
                .map(i -> array.get(i).getAsInt())
                .toArray();
    }
}
