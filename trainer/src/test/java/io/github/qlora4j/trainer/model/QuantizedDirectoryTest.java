package io.github.qlora4j.trainer.model;

import static org.assertj.core.api.Assertions.assertThat;

import ai.djl.ndarray.NDManager;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.KernelChoice;
import io.github.qlora4j.quant.Kernels;
import io.github.qlora4j.quant.ModelQuantizer;
import io.github.qlora4j.quant.QuantType;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.data.Example;
import io.github.qlora4j.trainer.data.PackedRows;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** 4-bit directories say themselves how they are read; those quantized here score as those transformers saved. */
class QuantizedDirectoryTest {

    private static final Path CHECKPOINTS = Golden.ROOT.resolve("checkpoints");

    // bfloat16 products, as config.json asks; the bounds are DecoderGoldenTest's for them
    @ParameterizedTest
    @ValueSource(strings = {"nf4-double", "fp4-single-sharded"})
    void withoutOptions_theDirectorysOwnSchemeHolds(String name) {
        Path directory = CHECKPOINTS.resolve(name);
        assertScores(directory, BaseOptions.unquantized(), directory.resolve("logprobs-bf16.jsonl"), 0.15, 0.02);
    }

    // the same packed bytes, float32 products
    @ParameterizedTest
    @CsvSource({"nf4-double,NF4,true,5000000000", "fp4-single-sharded,FP4,false,40000"})
    void quantizedHere_scoresAsTransformersOwnDirectory(
            String name, QuantType type, boolean doubled, long shardBytes, @TempDir Path temp) {
        Path model = Golden.model("llama-gqa");
        Path output = temp.resolve("quantized");
        FourBitConfig scheme = new FourBitConfig(type, 64, doubled);
        Set<String> linear = Modules.of(ModelConfig.read(model)).stream()
                .filter(m -> m.isLinear() && !m.isOutputHead())
                .map(m -> m.name() + ".weight")
                .collect(Collectors.toSet());
        new ModelQuantizer(scheme, Dtype.BFLOAT16, Kernels.choose(KernelChoice.BUILTIN), shardBytes)
                .quantize(model, output, linear::contains);

        BaseOptions float32 = BaseOptions.fourBit(scheme, Dtype.FLOAT32).withDtype(Dtype.FLOAT32);
        assertScores(output, float32, CHECKPOINTS.resolve(name).resolve("logprobs-fp32.jsonl"), 1e-4, 1e-4);
    }

    /** What transformers saves under {@code llm_int8_skip_modules}: some layers in four bits, others as they were. */
    @Test
    void layersThatAreStoredDenseStayDense(@TempDir Path temp) throws IOException {
        Path model = Golden.model("llama-gqa");
        Path output = temp.resolve("quantized");
        Set<String> linear = Modules.of(ModelConfig.read(model)).stream()
                .filter(m -> m.isLinear() && !m.isOutputHead() && !m.name().endsWith("up_proj"))
                .map(m -> m.name() + ".weight")
                .collect(Collectors.toSet());
        new ModelQuantizer(FourBitConfig.DEFAULT, Dtype.FLOAT32, Kernels.choose(KernelChoice.BUILTIN), 5_000_000_000L)
                .quantize(model, output, linear::contains);
        Path config = output.resolve("config.json");
        Files.writeString(
                config,
                Files.readString(config)
                        .replace(
                                "\"llm_int8_skip_modules\": null",
                                "\"llm_int8_skip_modules\": [\"up_proj\", \"lm_head\"]"));
        assertThat(config).content().contains("up_proj");
        PackedRows row =
                PackedRows.of(List.of(new Example(new int[] {5, 9, 77, 23, 41}, new int[] {5, 9, 77, 23, 41})));
        BaseOptions onLoading = new BaseOptions(
                Optional.of(Dtype.FLOAT32),
                Optional.of(FourBitConfig.DEFAULT),
                Optional.empty(),
                Dtype.FLOAT32,
                false,
                SkipModules.of(List.of("up_proj", "lm_head")),
                KernelChoice.BUILTIN);
        try (BaseModel stored = BaseModel.load(output, BaseOptions.unquantized(Dtype.FLOAT32));
                BaseModel made = BaseModel.load(model, onLoading);
                Trained none = new Trained(2);
                Decoder fromFiles = new Decoder(stored, none);
                Decoder quantized = new Decoder(made, none);
                NDManager manager = Torch.newManager()) {
            for (BaseModel.Layer layer : stored.layers()) {
                layer.linears()
                        .forEach((name, weight) -> assertThat(weight.scheme())
                                .as(name)
                                .isEqualTo(name.equals("mlp.up_proj") ? "float32" : "nf4"));
            }
            assertThat(Torch.toFloats(fromFiles.logProbabilities(manager, fromFiles.encode(manager, row), row)))
                    .isEqualTo(
                            Torch.toFloats(quantized.logProbabilities(manager, quantized.encode(manager, row), row)));
        }
    }

    private static void assertScores(Path directory, BaseOptions options, Path golden, double largest, double mean) {
        List<JsonObject> rows = Golden.lines(golden);
        PackedRows packed = PackedRows.of(rows.stream()
                .map(row -> Golden.ints(row, "input_ids"))
                .map(ids -> new Example(ids, ids))
                .toList());
        try (BaseModel base = BaseModel.load(directory, options);
                Trained none = new Trained(base.config().numHiddenLayers());
                Decoder decoder = new Decoder(base, none);
                NDManager manager = Torch.newManager()) {
            assertThat(base.options().fourBit())
                    .as("%s is in four bits", directory)
                    .isPresent();
            float[] found = Torch.toFloats(decoder.logProbabilities(manager, decoder.encode(manager, packed), packed));
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
            assertThat(at).isEqualTo(found.length).isPositive();
            assertThat(worst).as("%s: largest difference", golden).isLessThan(largest);
            assertThat(sum / at).as("%s: mean difference", golden).isLessThan(mean);
        }
    }
}
