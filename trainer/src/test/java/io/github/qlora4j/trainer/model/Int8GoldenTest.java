package io.github.qlora4j.trainer.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.Int8Scheme;
import io.github.qlora4j.quant.LinearWeight;
import io.github.qlora4j.quant.ModelQuantizer;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.safetensors.SafetensorsWriter;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.data.Example;
import io.github.qlora4j.trainer.data.PackedRows;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Bases under LLM.int8() score as transformers and bitsandbytes do; scripts/golden/int8_models.py made the values. */
class Int8GoldenTest {

    private static final Path INT8 = Golden.ROOT.resolve("int8");

    @TempDir
    private Path temp;

    static List<String> files() throws IOException {
        try (Stream<Path> all = Files.list(INT8)) {
            return all.map(p -> p.getFileName().toString())
                    .filter(name -> name.endsWith(".jsonl"))
                    .map(name -> name.substring(0, name.length() - ".jsonl".length()))
                    .sorted()
                    .toList();
        }
    }

    private static JsonObject about(String file) {
        return Golden.json(INT8.resolve(file + ".json"));
    }

    /** From the mode's name, {@code int8-fp32} or {@code int8-1.5-bf16}. */
    private static BaseOptions options(String mode) {
        String[] parts = mode.split("-");
        Int8Scheme scheme = new Int8Scheme(parts.length == 3 ? Double.parseDouble(parts[1]) : 6.0);
        return BaseOptions.eightBit(scheme)
                .withDtype(parts[parts.length - 1].equals("fp32") ? Dtype.FLOAT32 : Dtype.BFLOAT16);
    }

    @ParameterizedTest
    @MethodSource("files")
    void scoresEachRowAsTransformersDoes(String file) {
        JsonObject about = about(file);
        Path model = Golden.model(about.get("model").getAsString());
        assertScores(model, options(about.get("mode").getAsString()), file);
    }

    @Test
    void outliersAreAmongWhatIsCompared() throws IOException {
        Map<Boolean, Long> columns = files().stream()
                .collect(Collectors.partitioningBy(
                        file -> file.contains("-1.5-"),
                        Collectors.summingLong(
                                file -> about(file).get("outlier_columns").getAsLong())));
        assertThat(columns.get(true)).isGreaterThan(100);
    }

    /**
     * A rounding that falls the other way moves an activation to the next of its 255 codes, so that two right answers lie
     * further apart than sums in another order alone would: as far as the file says that Python's own two attention
     * kernels do. Twice that, since our attention and our norms sum in yet another order, and 1e-4 as everywhere in
     * float32.
     */
    private static void assertScores(Path model, BaseOptions options, String file) {
        JsonObject about = about(file);
        double largest = 0;
        double sum = 0;
        int count = 0;
        try (BaseModel base = BaseModel.load(model, options);
                Trained none = new Trained(base.config().numHiddenLayers());
                Decoder decoder = new Decoder(base, none);
                NDManager manager = Torch.newManager()) {
            assertThat(base.options().scheme()).contains("int8");
            for (JsonObject row : Golden.lines(INT8.resolve(file + ".jsonl"))) {
                float[] found = scores(decoder, manager, Golden.ints(row, "input_ids"));
                float[] expected = Golden.floats(row, "logprobs");
                assertThat(found).hasSameSizeAs(expected);
                for (int i = 0; i < found.length; i++) {
                    double apart = Math.abs(found[i] - expected[i]);
                    largest = Math.max(largest, apart);
                    sum += apart;
                    count++;
                }
            }
        }
        assertThat(largest)
                .as("%s: largest difference", file)
                .isLessThan(2 * about.get("largest").getAsDouble() + 1e-4);
        assertThat(sum / count)
                .as("%s: mean difference", file)
                .isLessThan(2 * about.get("mean").getAsDouble() + 1e-4);
    }

    private static float[] scores(Decoder decoder, NDManager manager, int[] ids) {
        PackedRows packed = PackedRows.of(List.of(new Example(ids, ids)));
        if (packed.learned() == 0) {
            return new float[0];
        }
        return Torch.toFloats(decoder.logProbabilities(manager, decoder.encode(manager, packed), packed));
    }

    // bnb-8bit's directory has transformers' bytes (quant's ModelQuantizerTest); its threshold is read from it
    @Test
    void aDirectoryInInt8_scoresAsItsModelQuantizedOnLoading() {
        Path stored = quantized(1.5);
        assertScores(stored, BaseOptions.unquantized(Dtype.FLOAT32), "llama-gqa-int8-1.5-fp32");
        int[] ids = {5, 9, 77, 23, 41, 8};
        try (BaseModel a = BaseModel.load(stored, BaseOptions.unquantized(Dtype.FLOAT32));
                BaseModel b = BaseModel.load(Golden.model("llama-gqa"), options("int8-1.5-fp32"));
                Trained none = new Trained(a.config().numHiddenLayers());
                Decoder fromFiles = new Decoder(a, none);
                Decoder onLoading = new Decoder(b, none);
                NDManager manager = Torch.newManager()) {
            assertThat(scores(fromFiles, manager, ids)).isEqualTo(scores(onLoading, manager, ids));
            assertThat(a.bytes()).isEqualTo(b.bytes());
            assertThat(BlocksInPieces.of(fromFiles, Long.MAX_VALUE))
                    .as("its product needs no dense weight")
                    .isEmpty();
        }
    }

    private Path quantized(double threshold) {
        Path output = temp.resolve("int8");
        Path model = Golden.model("llama-gqa");
        var linear = Modules.of(ModelConfig.read(model)).stream()
                .filter(m -> m.isLinear() && !m.isOutputHead())
                .map(m -> m.name() + ".weight")
                .collect(Collectors.toSet());
        new ModelQuantizer(new Int8Scheme(threshold), 1 << 30).quantize(model, output, linear::contains);
        return output;
    }

    @Test
    void anotherSchemeOrThresholdThanTheStoredOne_isAnError() {
        Path stored = quantized(1.5);
        assertThatThrownBy(() -> BaseModel.load(stored, BaseOptions.eightBit(new Int8Scheme(3))))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("llm_int8_threshold is 1.5 there, and 3.0 was asked for");
        assertThatThrownBy(() -> BaseModel.load(stored, BaseOptions.fourBit(FourBitConfig.DEFAULT, Dtype.FLOAT32)))
                .hasMessageContaining("stored in 8 bits, and load_in_4bit asks for another");
        assertThatThrownBy(() -> BaseModel.load(
                        Golden.ROOT.resolve("checkpoints/nf4-double"), BaseOptions.eightBit(new Int8Scheme(6))))
                .hasMessageContaining("stored in 4 bits, and load_in_8bit asks for another");
        BaseModel.load(stored, BaseOptions.eightBit(new Int8Scheme(6))).close();
    }

    @Test
    void modulesLeftOut_keepTheDtypeAskedFor() {
        BaseOptions plain = BaseOptions.eightBit(new Int8Scheme(6)).withDtype(Dtype.FLOAT16);
        BaseOptions options = new BaseOptions(
                plain.dtype(),
                plain.fourBit(),
                plain.eightBit(),
                plain.compute(),
                false,
                SkipModules.of(List.of("v_proj", "model.layers.1.mlp.up_proj")),
                plain.kernel());
        try (BaseModel base = BaseModel.load(Golden.model("llama-gqa"), options)) {
            Map<String, LinearWeight> first = base.layers().get(0).linears();
            Map<String, LinearWeight> second = base.layers().get(1).linears();
            assertThat(first.get("self_attn.v_proj").scheme()).isEqualTo("float16");
            assertThat(first.get("mlp.up_proj").scheme()).isEqualTo("int8");
            assertThat(second.get("mlp.up_proj").scheme()).isEqualTo("float16");
        }
    }

    // quantized activations depend on the row alone where there are no outliers: a step of the cache is the row's own
    @Test
    void aStepOfTheCache_scoresAsTheWholeRow() {
        JsonObject about = about("llama-gqa-int8-0-fp32");
        try (BaseModel base = BaseModel.load(Golden.model("llama-gqa"), options("int8-0-fp32"));
                Trained none = new Trained(base.config().numHiddenLayers());
                Decoder decoder = new Decoder(base, none);
                CachedDecoder cached = new CachedDecoder(decoder);
                KvCache cache = cached.newCache();
                NDManager manager = Torch.newManager()) {
            cached.keepWeights(0);
            JsonObject row =
                    Golden.lines(INT8.resolve("llama-gqa-int8-0-fp32.jsonl")).get(3);
            int[] ids = Golden.ints(row, "input_ids");
            float[] expected = Golden.floats(row, "logprobs");
            for (int i = 0; i + 1 < ids.length; i++) {
                try (NDArray logits = cached.next(manager, new int[] {ids[i]}, cache)) {
                    assertThat(logSoftmax(Torch.toFloats(logits), ids[i + 1]))
                            .as("position %d", i)
                            .isCloseTo(
                                    expected[i], within(2 * about.get("largest").getAsDouble() + 1e-4));
                }
            }
        }
    }

    private static double logSoftmax(float[] logits, int at) {
        double sum = 0;
        for (float logit : logits) {
            sum += Math.exp(logit);
        }
        return logits[at] - Math.log(sum);
    }

    @Test
    void aDamagedWeight_isNamed() {
        Path stored = quantized(6);
        String name = "model.layers.1.mlp.up_proj.SCB";
        try (NDManager manager = Torch.newManager()) {
            Map<String, NDArray> tensors = new LinkedHashMap<>();
            try (ModelDirectory files = ModelDirectory.open(stored)) {
                files.names().forEach(tensor -> tensors.put(tensor, files.read(manager, tensor)));
            }
            tensors.remove(name);
            SafetensorsWriter.writeAll(stored.resolve("model.safetensors"), Map.of(), tensors);
        }
        assertThatThrownBy(() -> BaseModel.load(stored, BaseOptions.unquantized()))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("tensor " + name + " is missing");
    }
}
