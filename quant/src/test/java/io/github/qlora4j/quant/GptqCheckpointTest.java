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
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Compares with what auto-gptq 0.7.1 packed; scripts/golden/grouped.py made it. */
class GptqCheckpointTest {

    private static final String MODULE = "model.layers.0.mlp.up_proj";

    @TempDir
    private Path dir;

    static Stream<JsonObject> cases() {
        return GroupedGolden.cases("gptq").stream();
    }

    static GptqConfig config(JsonObject golden) {
        return new GptqConfig(
                GroupedGolden.number(golden, "bits"),
                GroupedGolden.number(golden, "group_size"),
                GroupedGolden.flag(golden, "sym"),
                GroupedGolden.flag(golden, "desc_act"),
                GroupedGolden.flag(golden, "static_groups"),
                0.01);
    }

    @ParameterizedTest
    @MethodSource("cases")
    void readsDequantizesAndWritesWhatAutoGptqPacked(JsonObject golden) {
        try (NDManager manager = Torch.newManager();
                Scratch scratch = new Scratch()) {
            Map<String, NDArray> theirs =
                    GroupedGolden.parts(manager, "gptq", GroupedGolden.number(golden, "seed"), MODULE);
            GptqCheckpoint checkpoint = new GptqCheckpoint(config(golden), GptqFormat.GPTQ);
            try (ModelDirectory model = GroupedGolden.directory(dir, theirs);
                    GptqWeight weight = checkpoint.read(model, MODULE)) {
                assertThat(weight.rows()).isEqualTo(GroupedGolden.number(golden, "rows"));
                assertThat(weight.cols()).isEqualTo(GroupedGolden.number(golden, "cols"));
                Dtype own = Dtype.ofTorchName(GroupedGolden.text(golden, "dtype"));
                assertThat(GroupedGolden.sha(weight.dense(own, scratch)))
                        .as("in the dtype of its scales: %s", golden)
                        .isEqualTo(GroupedGolden.text(golden, "dense"));
                for (Dtype other : List.of(Dtype.FLOAT32, Dtype.BFLOAT16)) {
                    assertThat(GroupedGolden.sha(weight.dense(other, scratch)))
                            .as("in %s: %s", other, golden)
                            .isEqualTo(GroupedGolden.text(golden, "dense_" + other.torchName()));
                }
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

    /** Zero points of 0 too, which auto-gptq's packer cannot write: GPTQModel's do borrow from their neighbours. */
    @ParameterizedTest
    @EnumSource(GptqFormat.class)
    void everyCodeAndZeroPointComesBack(GptqFormat format) {
        for (int bits : GptqConfig.BITS) {
            int rows = 32;
            int cols = 96;
            int[] groupOf = new int[cols];
            for (int i = 0; i < cols; i++) {
                groupOf[i] = i * 7 % 3;
            }
            GptqCheckpoint checkpoint = new GptqCheckpoint(new GptqConfig(bits, 32, false, true, false, 0.01), format);
            try (NDManager manager = Torch.newManager()) {
                NDArray codes = bytes(manager, bits, 1, rows, cols);
                NDArray zeros = bytes(manager, bits, 2, rows, 3);
                NDArray scales = Torch.ofFloats(manager, GoldenInputs.uniform(rows * 3, bits), rows, 3);
                GptqWeight weight = new GptqWeight(new GroupedCodes(
                        Torch.newManager(),
                        bits,
                        GroupedCodes.pack(manager, codes, bits, GroupedCodes.order(groupOf)),
                        scales,
                        zeros,
                        groupOf));
                try (weight;
                        ModelDirectory model =
                                GroupedGolden.directory(dir, checkpoint.tensors(manager, MODULE, weight));
                        GptqWeight again = checkpoint.read(model, MODULE)) {
                    assertThat(GroupedGolden.bytes(again.codes().unpacked(manager)))
                            .as("codes of %d bits", bits)
                            .isEqualTo(GroupedGolden.bytes(codes));
                    assertThat(GroupedGolden.bytes(again.codes().zeros()))
                            .as("zero points of %d bits, %s", bits, format)
                            .isEqualTo(GroupedGolden.bytes(zeros));
                    assertThat(again.codes().groupOf()).isEqualTo(groupOf);
                }
            }
        }
    }

    private static NDArray bytes(NDManager manager, int bits, int seed, int rows, int cols) {
        NDArray tensor = Torch.empty(manager, Dtype.UINT8, rows, cols);
        float[] values = GoldenInputs.uniform(rows * cols, seed);
        byte[] codes = new byte[values.length];
        for (int i = 0; i < codes.length; i++) {
            codes[i] = (byte) ((values[i] + 0.5f) * (1 << bits));
        }
        Torch.bytes(tensor, 0, codes.length).put(codes);
        return tensor;
    }

    static Stream<Arguments> damages() {
        return Stream.of(
                Arguments.of("qweight", Dtype.FLOAT32, new long[] {8, 32}, "an int32 matrix is expected"),
                Arguments.of(
                        "qweight", Dtype.INT32, new long[] {9, 32}, "int32 [8, 32] is expected, found int32 [9, 32]"),
                Arguments.of("qzeros", Dtype.INT32, new long[] {2, 5}, "int32 [2, 4] is expected, found int32 [2, 5]"),
                Arguments.of("qzeros", Dtype.INT64, new long[] {2, 4}, "int32 [2, 4] is expected, found int64 [2, 4]"),
                Arguments.of("scales", Dtype.FLOAT16, new long[] {3, 32}, "[2, 32] is expected, found float16 [3, 32]"),
                Arguments.of("scales", Dtype.INT32, new long[] {2, 32}, "[2, 32] is expected, found int32 [2, 32]"),
                Arguments.of("g_idx", Dtype.INT64, new long[] {64}, "an int32 list is expected, found int64 [64]"),
                Arguments.of("g_idx", Dtype.INT32, new long[] {65}, "is expected"));
    }

    @ParameterizedTest
    @MethodSource("damages")
    void aPartThatDoesNotFitIsNamed(String part, Dtype dtype, long[] shape, String message) {
        // a list of another length makes the packed weights the ones that do not fit
        String named = part.equals("g_idx") && dtype == Dtype.INT32 ? "" : MODULE + "." + part + ": ";
        assertThatThrownBy(() -> readWith(part, dtype, shape))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining(named)
                .hasMessageContaining(message);
    }

    @ParameterizedTest
    @CsvSource({"qweight", "qzeros", "scales", "g_idx"})
    void aMissingPartIsNamed(String part) {
        assertThatThrownBy(() -> readWith(part, null))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("tensor " + MODULE + "." + part + " is missing");
    }

    private void readWith(String part, Dtype dtype, long... shape) {
        JsonObject golden = firstFourBit();
        try (NDManager manager = Torch.newManager()) {
            Map<String, NDArray> tensors =
                    GroupedGolden.parts(manager, "gptq", GroupedGolden.number(golden, "seed"), MODULE);
            if (dtype == null) {
                tensors.remove(MODULE + "." + part);
            } else {
                tensors.put(MODULE + "." + part, Torch.zeros(manager, dtype, shape));
            }
            readFirst(golden, tensors);
        }
    }

    private static JsonObject firstFourBit() {
        return cases().filter(c -> GroupedGolden.number(c, "bits") == 4)
                .findFirst()
                .orElseThrow();
    }

    private void readFirst(JsonObject golden, Map<String, NDArray> tensors) {
        try (ModelDirectory model = GroupedGolden.directory(dir, tensors)) {
            new GptqCheckpoint(config(golden), GptqFormat.GPTQ)
                    .read(model, MODULE)
                    .close();
        }
    }

    @Test
    void groupsOutOfRangeAndScalesThatAreNoNumbersAreNamed() {
        JsonObject golden = firstFourBit();
        try (NDManager manager = Torch.newManager()) {
            Map<String, NDArray> tensors =
                    GroupedGolden.parts(manager, "gptq", GroupedGolden.number(golden, "seed"), MODULE);
            Torch.bytes(tensors.get(MODULE + ".scales"), 6, 2).putShort((short) 0x7c00);
            assertThatThrownBy(() -> readFirst(golden, tensors))
                    .isInstanceOf(QloraException.class)
                    .hasMessageContaining(MODULE + ".scales: it holds Infinity");
            for (int group : new int[] {2, -1}) {
                Torch.bytes(tensors.get(MODULE + ".g_idx"), 12, 4).putInt(group);
                assertThatThrownBy(() -> readFirst(golden, tensors))
                        .isInstanceOf(QloraException.class)
                        .hasMessageContaining(MODULE + ".g_idx: input 3 is in group " + group + " of 0 to 1");
            }
        }
    }

    @Test
    void theSettingsOfPublishedCheckpointsAreRead() {
        GptqCheckpoint published = of("{bits: 4, group_size: 128, damp_percent: 0.01, desc_act: true, sym: true,"
                + " true_sequential: true, model_name_or_path: null, model_file_base_name: model, quant_method: gptq}");
        assertThat(published.config()).isEqualTo(new GptqConfig(4, 128, true, true, false, 0.01));
        assertThat(published.format()).isEqualTo(GptqFormat.GPTQ);
        assertThat(published.remarks()).isEmpty();
        GptqCheckpoint newer =
                of("{bits: 8, group_size: -1, sym: false, checkpoint_format: gptq_v2, quant_method: gptq,"
                        + " use_exllama: true, exllama_config: {version: 2}, tokenizer: null}");
        assertThat(newer.config().sym()).isFalse();
        assertThat(newer.format()).isEqualTo(GptqFormat.GPTQ_V2);
        assertThat(newer.remarks()).singleElement().asString().contains("are not used", "dequantized");
        assertThat(of(newer.quantizationConfig().toString()).config()).isEqualTo(newer.config());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "{group_size: 128} | here: bits is missing",
                "{bits: 4} | here: group_size is missing",
                "{bits: 5, group_size: 128} | here: bits 5 is not one of [2, 3, 4, 8]",
                "{bits: '4x', group_size: 128} | here: bits: a whole number is expected, found \"4x\"",
                "{bits: 4, group_size: 0} | here: group_size 0 is neither -1 nor at least 1",
                "{bits: 4, group_size: 128, checkpoint_format: marlin} | here: checkpoint_format: gptq or gptq_v2",
                "{bits: 4, group_size: 128, is_marlin_format: true} | here: is_marlin_format: false",
                "{bits: 4, group_size: 128, sym: 1} | here: sym: true or false is expected, found 1",
            })
    void settingsThatAreNotSupportedAreNamed(String json, String message) {
        assertThatThrownBy(() -> of(json)).isInstanceOf(QloraException.class).hasMessageContaining(message);
    }

    private static GptqCheckpoint of(String json) {
        return (GptqCheckpoint)
                StoredSchemes.of("gptq", JsonParser.parseString(json).getAsJsonObject(), "here")
                        .orElseThrow();
    }
}
