package io.github.qlora4j.quant;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.quant.torch.TorchScript;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Compares with bitsandbytes' Linear8bitLt on a CPU; scripts/golden/int8.py made the values. */
class Int8WeightTest {

    @BeforeAll
    static void oneThread() {
        Torch.setThreads(1);
    }

    static List<JsonElement> cases() throws IOException {
        return JsonParser.parseString(Files.readString(Path.of("src/test/resources/golden/int8.json")))
                .getAsJsonArray()
                .asList();
    }

    /** Many rows are scaled a window of 512 at a time; each comes out as by itself, whatever its window. */
    @Test
    void manyRowsAreTheRowsOfFewer() {
        int tokens = 1100;
        int cols = 64;
        int rows = 512;
        for (Dtype dtype : List.of(Dtype.FLOAT32, Dtype.BFLOAT16)) {
            try (NDManager manager = Torch.newManager();
                    Int8Weight weight = Int8Weight.quantize(
                            Torch.ofFloats(manager, GoldenInputs.values(rows * cols, 5), rows, cols), 0)) {
                float[] activations = GoldenInputs.values(tokens * cols, 6);
                NDArray bias = tensor(manager, dtype, GoldenInputs.values(rows, 7), rows);
                float[] all = Torch.toFloats(Torch.cast(
                        manager,
                        weight.product(manager, tensor(manager, dtype, activations, tokens, cols), bias),
                        Dtype.FLOAT32));
                for (int at = 0; at < tokens; at += 275) {
                    float[] some = Arrays.copyOfRange(activations, at * cols, (at + 275) * cols);
                    float[] expected = Torch.toFloats(Torch.cast(
                            manager,
                            weight.product(manager, tensor(manager, dtype, some, 275, cols), bias),
                            Dtype.FLOAT32));
                    assertThat(Arrays.copyOfRange(all, at * rows, (at + 275) * rows))
                            .as("%s, rows from %d", dtype, at)
                            .isEqualTo(expected);
                }
            }
        }
    }

    /** From 64 columns of outliers on they are picked in another way; half of 200 are, and the product is as of doubles. */
    @Test
    void manyColumnsOfOutliersAreMultipliedAsTheyAre() {
        int tokens = 6;
        int cols = 200;
        int rows = 32;
        float[] matrix = GoldenInputs.values(rows * cols, 8);
        float[] activations = GoldenInputs.values(tokens * cols, 9);
        for (int i = 0; i < activations.length; i++) {
            activations[i] = i % 2 == 0 && i / cols % 2 == 0 ? 7 + i % 5 : activations[i];
        }
        try (NDManager manager = Torch.newManager();
                Scratch scratch = new Scratch();
                Int8Weight weight = Int8Weight.quantize(Torch.ofFloats(manager, matrix, rows, cols), 6)) {
            float[] dense = Torch.toFloats(weight.dense(Dtype.FLOAT32, scratch));
            float[] found = Torch.toFloats(weight.product(manager, Torch.ofFloats(manager, activations, tokens, cols)));
            for (int t = 0; t < tokens; t++) {
                for (int r = 0; r < rows; r++) {
                    double exact = 0;
                    double rounding = 1e-4;
                    for (int c = 0; c < cols; c++) {
                        double product = (double) activations[t * cols + c] * dense[r * cols + c];
                        exact += product;
                        // the others are rounded to at most 127 steps, half a step each; 0.4 is more than their largest
                        rounding += c % 2 == 0 && t % 2 == 0 ? 0 : 0.5 * 0.4 / 127 * Math.abs(dense[r * cols + c]);
                    }
                    assertThat((double) found[t * rows + r])
                            .as("token %d, row %d", t, r)
                            .isCloseTo(exact, within(rounding));
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void codesDenseWeightAndProductEqualBitsandbytes(JsonElement element) {
        JsonObject expected = element.getAsJsonObject();
        Dtype dtype = Dtype.ofTorchName(expected.get("dtype").getAsString());
        int tokens = expected.get("tokens").getAsInt();
        int cols = expected.get("cols").getAsInt();
        int rows = expected.get("rows").getAsInt();
        int seed = expected.get("seed").getAsInt();
        JsonArray outliers = expected.getAsJsonArray("outliers");
        try (NDManager manager = Torch.newManager();
                Scratch scratch = new Scratch()) {
            NDArray matrix = tensor(manager, dtype, GoldenInputs.values(rows * cols, seed), rows, cols);
            float[] activations = GoldenInputs.values(tokens * cols, seed + 1);
            for (int i = 0; i < activations.length; i++) {
                activations[i] *= 16;
            }
            for (JsonElement place : outliers) {
                JsonArray at = place.getAsJsonArray();
                activations[at.get(0).getAsInt() * cols + at.get(1).getAsInt()] =
                        at.get(2).getAsFloat();
            }
            NDArray x = tensor(manager, dtype, activations, tokens, cols);
            try (Int8Weight weight =
                    Int8Weight.quantize(matrix, expected.get("threshold").getAsDouble())) {
                assertThat(sha(weight.codes())).isEqualTo(text(expected, "codes"));
                assertThat(sha(weight.scales())).isEqualTo(text(expected, "scales"));
                assertThat(sha(weight.dense(dtype, scratch))).isEqualTo(text(expected, "dense"));
                assertThat(weight.bytes()).isEqualTo(rows * cols + 4L * rows);
                byte[] before = bytes(x);
                NDArray y = expected.get("bias").getAsBoolean()
                        ? weight.product(manager, x, tensor(manager, dtype, GoldenInputs.values(rows, seed + 3), rows))
                        : weight.product(manager, x);
                assertThat(bytes(x)).as("x is left alone").isEqualTo(before);
                if (outliers.isEmpty()) {
                    assertThat(sha(y)).isEqualTo(text(expected, "y"));
                } else {
                    assertClose(manager, y, dtype, text(expected, "y"));
                }
            }
        }
    }

    /**
     * The columns of outliers go through a floating-point product, whose order of sums is the CPU's: a unit in the last
     * place of the largest value.
     */
    private static void assertClose(NDManager manager, NDArray y, Dtype dtype, String base64) {
        byte[] raw = Base64.getDecoder().decode(base64);
        NDArray theirs = Torch.empty(manager, dtype, Torch.shape(y));
        Torch.bytes(theirs, 0, raw.length).put(raw);
        float[] expected = Torch.toFloats(theirs);
        float[] found = Torch.toFloats(y);
        float largest = 0;
        for (float value : expected) {
            largest = Math.max(largest, Math.abs(value));
        }
        float unit = largest
                * switch (dtype) {
                    case FLOAT32 -> 0x1p-23f;
                    case FLOAT16 -> 0x1p-10f;
                    default -> 0x1p-7f;
                };
        for (int i = 0; i < expected.length; i++) {
            assertThat(found[i]).as("element %d", i).isCloseTo(expected[i], within(unit));
        }
    }

    @Test
    void rowsOfZerosStayZeros() {
        try (NDManager manager = Torch.newManager();
                Scratch scratch = new Scratch();
                Int8Weight weight =
                        Int8Weight.quantize(Torch.ofFloats(manager, new float[] {0, 0, 0, 1, -2, 0.5f}, 2, 3), 6)) {
            assertThat(Torch.toFloats(weight.codes())).containsExactly(0, 0, 0, 64, -127, 32);
            assertThat(Torch.toFloats(weight.dense(Dtype.FLOAT32, scratch)))
                    .startsWith(0, 0, 0)
                    .doesNotContain(Float.NaN);
            NDArray zeros = Torch.zeros(manager, Dtype.FLOAT32, 2, 3);
            assertThat(Torch.toFloats(weight.product(manager, zeros))).containsOnly(0);
        }
    }

    @Test
    void operandsAreTheTensorsThemselves() {
        try (NDManager manager = Torch.newManager();
                Scratch scratch = new Scratch();
                Int8Weight weight = Int8Weight.quantize(Torch.ofFloats(manager, new float[] {1, 2}, 1, 2), 0.3)) {
            assertThat(weight.operands(Dtype.BFLOAT16, scratch))
                    .containsEntry("weight", weight.codes())
                    .containsEntry("SCB", weight.scales())
                    .containsOnlyKeys("weight", "SCB", "threshold", "engine");
            NDArray threshold = weight.operands(Dtype.BFLOAT16, scratch).get("threshold");
            assertThat(Torch.bytes(threshold, 0, 8).getDouble()).isEqualTo(0.3);
        }
    }

    @Test
    void whatFloat16CannotHoldIsRefused() {
        try (NDManager manager = Torch.newManager()) {
            for (float bad : new float[] {Float.NaN, Float.NEGATIVE_INFINITY, 70_000f}) {
                NDArray matrix = Torch.ofFloats(manager, new float[] {1, 2, 3, bad}, 2, 2);
                assertThatThrownBy(() -> Int8Weight.quantize(matrix, 6))
                        .isInstanceOf(QloraException.class)
                        .hasMessageContaining("row 1 holds an element that is not finite in float16");
            }
            NDArray whole = Torch.zeros(manager, Dtype.INT32, 2, 2);
            assertThatThrownBy(() -> Int8Weight.quantize(whole, 6))
                    .hasMessageContaining("dtype int32 cannot be quantized to eight bits");
            NDArray fine = Torch.zeros(manager, Dtype.FLOAT32, 2, 2);
            assertThatThrownBy(() -> Int8Weight.quantize(fine, -1)).isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> Int8Weight.quantize(fine, Double.NaN))
                    .isInstanceOf(IllegalArgumentException.class);
        }
    }

    private static NDArray tensor(NDManager manager, Dtype dtype, float[] values, long... shape) {
        NDArray tensor = Torch.empty(manager, dtype, shape);
        Torch.bytes(tensor, 0, Torch.byteSize(tensor)).put(GoldenInputs.memory(dtype, values));
        return tensor;
    }

    private static byte[] bytes(NDArray tensor) {
        byte[] bytes = new byte[(int) Torch.byteSize(tensor)];
        Torch.bytes(tensor, 0, bytes.length).get(bytes);
        return bytes;
    }

    private static String text(JsonObject object, String key) {
        return object.get(key).getAsString();
    }

    private static String sha(NDArray tensor) {
        return GoldenInputs.sha256(Torch.bytes(tensor, 0, Torch.byteSize(tensor)));
    }

    /** 127 × 127 for 2,501 inputs: more than 16 bits in each pair, and an odd sum above 2^24, which float32 does not hold. */
    @Test
    void sumsThatTheEngineDoesNotMakeAreExact() {
        int tokens = 3;
        int cols = 2501;
        int rows = 5;
        TorchScript script = TorchScript.load(Int8Weight.class, "int8.py");
        try (NDManager manager = Torch.newManager()) {
            NDArray codes = Torch.empty(manager, Dtype.INT8, tokens, cols);
            NDArray weight = Torch.empty(manager, Dtype.INT8, rows, cols);
            ByteBuffer left = Torch.bytes(codes, 0, (long) tokens * cols);
            ByteBuffer right = Torch.bytes(weight, 0, (long) rows * cols);
            for (int i = 0; i < tokens * cols; i++) {
                left.put(i, (byte) (i < cols ? 127 : i % 255 - 127));
            }
            for (int i = 0; i < rows * cols; i++) {
                right.put(i, (byte) (i < cols ? 127 : i * 7 % 255 - 127));
            }
            ByteBuffer sums =
                    Torch.bytes(script.tensor(manager, "int8_sums", codes, weight, false), 0, 4L * tokens * rows);
            for (int t = 0; t < tokens; t++) {
                for (int r = 0; r < rows; r++) {
                    int expected = 0;
                    for (int c = 0; c < cols; c++) {
                        expected += left.get(t * cols + c) * right.get(r * cols + c);
                    }
                    assertThat(sums.asIntBuffer().get(t * rows + r)).isEqualTo(expected);
                }
            }
        }
    }
}
