package io.github.qlora4j.trainer.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ai.djl.ndarray.NDManager;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import io.github.qlora4j.peft.ModuleInfo;
import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.KernelChoice;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.data.Example;
import io.github.qlora4j.trainer.data.PackedRows;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What is kept is what transformers keeps; see {@code scripts/golden/skips.py}. */
class SkipModulesTest {

    static Stream<JsonObject> kept() {
        return Golden.lines(Golden.ROOT.resolve("skips/kept.jsonl")).stream();
    }

    private static List<String> strings(JsonElement array) {
        return array.getAsJsonArray().asList().stream()
                .map(JsonElement::getAsString)
                .toList();
    }

    private static List<String> linears() {
        return Modules.of(ModelConfig.read(Golden.model("llama-gqa"))).stream()
                .map(ModuleInfo::name)
                .filter(name -> name.endsWith("_proj") || name.equals("lm_head"))
                .toList();
    }

    @ParameterizedTest
    @MethodSource("kept")
    void keepsWhatTransformersKeeps(JsonObject row) {
        boolean none = row.get("list").isJsonNull();
        SkipModules skips = none ? SkipModules.DEFAULT : SkipModules.of(strings(row.get("list")));
        assertThat(linears().stream().filter(skips::keeps)).containsExactlyElementsOf(strings(row.get("bnb")));
        SkipModules awq = none ? SkipModules.DEFAULT : SkipModules.headAnd(strings(row.get("list")));
        assertThat(linears().stream().filter(awq::keeps)).containsExactlyElementsOf(strings(row.get("awq")));
    }

    // float32 products of the same 4-bit bytes: DecoderGoldenTest's bound
    @Test
    void aListQuantizesTheHeadToo_asTransformersDoes() {
        BaseOptions options = new BaseOptions(
                Optional.of(Dtype.FLOAT32),
                Optional.of(FourBitConfig.DEFAULT),
                Optional.empty(),
                Dtype.FLOAT32,
                false,
                SkipModules.of(List.of("down_proj", "model.layers.1.self_attn")),
                KernelChoice.AUTO);
        List<JsonObject> rows = Golden.lines(Golden.ROOT.resolve("skips/scores.jsonl"));
        PackedRows packed = PackedRows.of(rows.stream()
                .map(row -> Golden.ints(row, "input_ids"))
                .map(ids -> new Example(ids, ids))
                .toList());
        try (BaseModel base = BaseModel.load(Golden.model("llama-gqa"), options);
                Trained none = new Trained(base.config().numHiddenLayers());
                Decoder decoder = new Decoder(base, none);
                NDManager manager = Torch.newManager()) {
            float[] found = Torch.toFloats(decoder.logProbabilities(manager, decoder.encode(manager, packed), packed));
            int at = 0;
            for (JsonObject row : rows) {
                for (float expected : Golden.floats(row, "logprobs")) {
                    assertThat(Math.abs(found[at++] - expected)).as("%s", row).isLessThan(1e-4f);
                }
            }
            assertThat(at).isEqualTo(found.length).isPositive();
        }
    }

    @Test
    void whatIsNoRegularExpressionIsNamed() {
        assertThatThrownBy(() -> SkipModules.of(List.of("q_proj", "*.mlp")))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("llm_int8_skip_modules")
                .hasMessageContaining("*.mlp");
    }
}
