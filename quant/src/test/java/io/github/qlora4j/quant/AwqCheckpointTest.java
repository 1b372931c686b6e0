package io.github.qlora4j.quant;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Compares with what autoawq 0.2.9 packed; scripts/golden/grouped.py made it. */
class AwqCheckpointTest {

    private static final String MODULE = "model.layers.0.mlp.up_proj";

    @TempDir
    private Path dir;

    static Stream<JsonObject> cases() {
        return GroupedGolden.cases("awq").stream();
    }

    @ParameterizedTest
    @MethodSource("cases")
    void readsDequantizesAndWritesWhatAutoawqPacked(JsonObject golden) {
        try (NDManager manager = Torch.newManager();
                Scratch scratch = new Scratch()) {
            Map<String, NDArray> theirs =
                    GroupedGolden.parts(manager, "awq", GroupedGolden.number(golden, "seed"), MODULE);
            AwqCheckpoint checkpoint = new AwqCheckpoint(new AwqConfig(GroupedGolden.number(golden, "group_size")));
            try (ModelDirectory model = GroupedGolden.directory(dir, theirs);
                    AwqWeight weight = checkpoint.read(model, MODULE)) {
                assertThat(weight.rows()).isEqualTo(GroupedGolden.number(golden, "rows"));
                assertThat(weight.cols()).isEqualTo(GroupedGolden.number(golden, "cols"));
                assertThat(GroupedGolden.sha(weight.dense(Dtype.FLOAT16, scratch)))
                        .as("%s", golden)
                        .isEqualTo(GroupedGolden.text(golden, "dense"));
                Map<String, NDArray> ours = checkpoint.tensors(manager, MODULE, weight);
                assertThat(ours.keySet()).isEqualTo(theirs.keySet());
                ours.forEach((name, tensor) -> {
                    assertThat(Torch.shape(tensor)).as(name).isEqualTo(Torch.shape(theirs.get(name)));
                    assertThat(GroupedGolden.bytes(tensor))
                            .as("%s: %s", name, golden)
                            .isEqualTo(GroupedGolden.bytes(theirs.get(name)));
                });
            }
        }
    }

    static Stream<Arguments> damages() {
        return Stream.of(
                Arguments.of("qweight", Dtype.INT64, new long[] {64, 8}, "an int32 matrix is expected"),
                Arguments.of("qweight", Dtype.INT16, new long[] {16, 64}, "the layout of llm-awq (gemv_fast)"),
                Arguments.of("qweight", Dtype.INT32, new long[] {65, 8}, "65 inputs do not fall into groups of 32"),
                Arguments.of("qzeros", Dtype.INT32, new long[] {2, 9}, "int32 [2, 8] is expected, found int32 [2, 9]"),
                Arguments.of("scales", Dtype.FLOAT16, new long[] {1, 64}, "[2, 64] is expected, found float16 [1, 64]"),
                Arguments.of("scales", Dtype.INT32, new long[] {2, 64}, "[2, 64] is expected, found int32 [2, 64]"));
    }

    @ParameterizedTest
    @MethodSource("damages")
    void aPartThatDoesNotFitIsNamed(String part, Dtype dtype, long[] shape, String message) {
        assertThatThrownBy(() -> readWith(part, dtype, shape))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining(MODULE + "." + part + ": ")
                .hasMessageContaining(message);
    }

    @ParameterizedTest
    @CsvSource({"qweight", "qzeros", "scales"})
    void aMissingPartIsNamed(String part) {
        assertThatThrownBy(() -> readWith(part, null))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("tensor " + MODULE + "." + part + " is missing");
    }

    private void readWith(String part, Dtype dtype, long... shape) {
        JsonObject golden = cases().findFirst().orElseThrow();
        try (NDManager manager = Torch.newManager()) {
            Map<String, NDArray> tensors =
                    GroupedGolden.parts(manager, "awq", GroupedGolden.number(golden, "seed"), MODULE);
            if (dtype == null) {
                tensors.remove(MODULE + "." + part);
            } else {
                tensors.put(MODULE + "." + part, Torch.zeros(manager, dtype, shape));
            }
            try (ModelDirectory model = GroupedGolden.directory(dir, tensors)) {
                new AwqCheckpoint(new AwqConfig(32)).read(model, MODULE).close();
            }
        }
    }

    @Test
    void theSettingsOfPublishedCheckpointsAreRead() {
        AwqCheckpoint published = of("{bits: 4, group_size: 128, modules_to_not_convert: null, quant_method: awq,"
                + " version: GEMM, zero_point: true, do_fuse: true}");
        assertThat(published.config()).isEqualTo(AwqConfig.DEFAULT);
        assertThat(published.remarks()).singleElement().asString().startsWith("do_fuse changes nothing");
        assertThat(published.quantizationConfig(List.of("lm_head")))
                .hasToString("{\"bits\":4,\"group_size\":128,\"modules_to_not_convert\":[\"lm_head\"],"
                        + "\"quant_method\":\"awq\",\"version\":\"gemm\",\"zero_point\":true}");
        // what transformers 5 writes back
        assertThat(of("{bits: 4, group_size: 32, format: gemm, version: gemm, backend: auto, desc_act: false}")
                        .config())
                .isEqualTo(new AwqConfig(32));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "{bits: 4} | here: group_size is missing",
                "{bits: 8, group_size: 128} | here: bits: 4 is expected, found 8",
                "{bits: 4, group_size: 128, version: gemv} | here: version: gemm (gemv, gemv_fast and llm-awq",
                "{bits: 4, group_size: 128, format: gemv_fast} | here: format: gemm (gemv",
                "{bits: 4, group_size: 128, backend: llm-awq} | here: backend: the layout of autoawq",
                "{bits: 4, group_size: -2} | here: group_size -2 is neither",
            })
    void settingsThatAreNotSupportedAreNamed(String json, String message) {
        assertThatThrownBy(() -> of(json)).isInstanceOf(QloraException.class).hasMessageContaining(message);
    }

    private static AwqCheckpoint of(String json) {
        return (AwqCheckpoint)
                StoredSchemes.of("awq", JsonParser.parseString(json).getAsJsonObject(), "here")
                        .orElseThrow();
    }
}
