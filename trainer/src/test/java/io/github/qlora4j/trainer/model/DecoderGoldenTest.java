package io.github.qlora4j.trainer.model;

import static org.assertj.core.api.Assertions.assertThat;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.QuantType;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.data.Example;
import io.github.qlora4j.trainer.data.PackedRows;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Log-probabilities and greedy tokens of every decoder option, against transformers'. */
class DecoderGoldenTest {

    static List<String> models() throws IOException {
        try (Stream<Path> all = Files.list(Golden.ROOT.resolve("models"))) {
            return all.filter(Files::isDirectory)
                    .map(p -> p.getFileName().toString())
                    .sorted()
                    .toList();
        }
    }

    // float32 on both sides; kernels of the same operators sum in another order. ln p is of size 1 to 10.
    @ParameterizedTest
    @MethodSource("models")
    void scoresRowsAsTransformersDoesInFloat32(String name) {
        assertScores(name, "logprobs.jsonl", BaseOptions.unquantized(Dtype.FLOAT32), 1e-4, 1e-4);
    }

    static Stream<Arguments> modes() throws IOException {
        List<Arguments> cases = new ArrayList<>();
        for (String name : models()) {
            for (Mode mode : Mode.values()) {
                if (Files.exists(Golden.model(name).resolve(mode.file()))) {
                    cases.add(Arguments.of(name, mode));
                }
            }
        }
        return cases.stream();
    }

    /**
     * How a base is read. 4-bit weights are the same bytes on both sides, so that float32 products differ as float32
     * does. In bfloat16 each rounding (2^-9 of the value) can fall the other way where sums are taken in another order;
     * how much that is on a model is measured by transformers itself, whose other attention kernel, and whose padded
     * batches, come out so far from it. {@link #FACTOR} times that holds for the largest and for the mean difference.
     * With upcast only the inputs and results of 4-bit products are rounded, on both sides from float32 numbers that are
     * equal to a few 1e-7, so that hardly any falls the other way; one that does moves a logit by some 1e-4.
     */
    enum Mode {
        NF4_FP32("nf4-fp32", four(QuantType.NF4, true, Dtype.FLOAT32)),
        NF4_SINGLE_FP32("nf4-single-fp32", four(QuantType.NF4, false, Dtype.FLOAT32)),
        FP4_FP32("fp4-fp32", four(QuantType.FP4, true, Dtype.FLOAT32)),
        BF16("bf16", BaseOptions.unquantized(Dtype.BFLOAT16)),
        NF4_BF16("nf4-bf16", four(QuantType.NF4, true, Dtype.BFLOAT16)),
        NF4_BF16_UPCAST(
                "nf4-bf16-upcast", four(QuantType.NF4, true, Dtype.BFLOAT16).withUpcast(true));

        static final double FACTOR = 2;

        private final String key;
        private final BaseOptions options;

        Mode(String key, BaseOptions options) {
            this.key = key;
            this.options = options;
        }

        String file() {
            return "logprobs-" + key + ".jsonl";
        }

        /** The bound on the largest or the mean difference. */
        double bound(String model, String what) {
            if (options.compute() != Dtype.BFLOAT16) {
                return 1e-4;
            }
            if (options.upcast()) {
                return what.equals("largest") ? 5e-3 : 5e-4;
            }
            JsonObject ways = Golden.json(Golden.model(model).resolve("apart-from-itself.json"))
                    .getAsJsonObject(key);
            return FACTOR
                    * ways.entrySet().stream()
                            .mapToDouble(way ->
                                    way.getValue().getAsJsonObject().get(what).getAsDouble())
                            .max()
                            .orElseThrow();
        }

        private static BaseOptions four(QuantType type, boolean doubled, Dtype dtype) {
            return BaseOptions.fourBit(new FourBitConfig(type, 64, doubled), dtype)
                    .withDtype(dtype);
        }
    }

    @ParameterizedTest
    @MethodSource("modes")
    void scoresRowsAsTransformersDoesInEveryMode(String name, Mode mode) {
        assertScores(name, mode.file(), mode.options, mode.bound(name, "largest"), mode.bound(name, "mean"));
    }

    private static void assertScores(String name, String file, BaseOptions options, double largest, double mean) {
        try (BaseModel base = BaseModel.load(Golden.model(name), options);
                Trained none = new Trained(base.config().numHiddenLayers());
                Decoder decoder = new Decoder(base, none);
                NDManager manager = Torch.newManager()) {
            List<JsonObject> rows = Golden.lines(Golden.model(name).resolve(file));
            // all rows in one batch: none may see another
            List<Example> examples = rows.stream()
                    .map(r -> Golden.ints(r, "input_ids"))
                    .map(ids -> new Example(ids, ids))
                    .toList();
            PackedRows packed = PackedRows.of(examples);
            NDArray x = decoder.encode(manager, packed);
            float[] found = Torch.toFloats(decoder.logProbabilities(manager, x, packed));
            int at = 0;
            double sum = 0;
            double worst = 0;
            for (JsonObject row : rows) {
                for (float expected : Golden.floats(row, "logprobs")) {
                    double apart = Math.abs(found[at++] - expected);
                    sum += apart;
                    worst = Math.max(worst, apart);
                }
            }
            assertThat(at).isEqualTo(found.length);
            assertThat(worst).as("%s %s: largest difference", name, file).isLessThan(largest);
            assertThat(sum / at).as("%s %s: mean difference", name, file).isLessThan(mean);
        }
    }

    @ParameterizedTest
    @MethodSource("models")
    void generatesGreedilyAsTransformersDoesWithACache(String name) {
        JsonObject golden = Golden.json(Golden.model(name).resolve("generate.json"));
        try (BaseModel base = BaseModel.load(Golden.model(name), BaseOptions.unquantized(Dtype.FLOAT32));
                Trained none = new Trained(base.config().numHiddenLayers());
                Decoder decoder = new Decoder(base, none);
                CachedDecoder cached = new CachedDecoder(decoder);
                KvCache cache = cached.newCache();
                NDManager manager = Torch.newManager()) {
            int[] tokens = Golden.ints(golden, "input_ids");
            int[] expected = Golden.ints(golden, "output_ids");
            // a text that repeats itself would hide mistakes
            assertThat(expected).hasSize(200);
            assertThat(Arrays.stream(expected).distinct()).hasSizeGreaterThanOrEqualTo(30);
            int[] found = new int[expected.length];
            for (int i = 0; i < found.length; i++) {
                try (NDArray logits = cached.next(manager, tokens, cache)) {
                    float[] scores = Torch.toFloats(logits);
                    for (int v = 0; v < scores.length; v++) {
                        if (scores[v] > scores[found[i]]) {
                            found[i] = v;
                        }
                    }
                }
                tokens = new int[] {found[i]};
            }
            assertThat(found).isEqualTo(expected);
        }
    }
}
