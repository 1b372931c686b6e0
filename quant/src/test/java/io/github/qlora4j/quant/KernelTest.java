package io.github.qlora4j.quant;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.bitsandbytes.LibrarySearch;
import io.github.qlora4j.quant.internal.StrictJson;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Compares with scripts/golden/quant.py's results; the library is tested too where it is installed. */
class KernelTest {

    private static final List<Dtype> DTYPES = List.of(Dtype.FLOAT32, Dtype.FLOAT16, Dtype.BFLOAT16);
    private static JsonObject golden;

    @BeforeAll
    static void read() {
        golden = StrictJson.readObject(Path.of("src/test/resources/golden/blockwise.json"));
        Torch.setThreads(1);
    }

    static List<Kernel> kernels() {
        List<Kernel> kernels = new ArrayList<>(List.of(BuiltinKernel.INSTANCE));
        if (LibrarySearch.result().usable()) {
            kernels.add(BitsAndBytesKernel.INSTANCE);
        }
        return kernels;
    }

    private static int[] bits(float[] values) {
        int[] bits = new int[values.length];
        for (int i = 0; i < bits.length; i++) {
            bits[i] = Float.floatToRawIntBits(values[i]);
        }
        return bits;
    }

    private static int[] ints(JsonArray array) {
        return array.asList().stream().mapToInt(JsonElement::getAsInt).toArray();
    }

    @Test
    void codesAndMapsEqualBitsandbytes() {
        assertThat(bits(QuantType.NF4.code())).isEqualTo(ints(golden.getAsJsonArray("nf4")));
        assertThat(bits(QuantType.FP4.code())).isEqualTo(ints(golden.getAsJsonArray("fp4")));
        assertThat(bits(DynamicMap.SIGNED.values())).isEqualTo(ints(golden.getAsJsonArray("signed")));
        assertThat(bits(DynamicMap.UNSIGNED.values())).isEqualTo(ints(golden.getAsJsonArray("unsigned")));
    }

    @ParameterizedTest
    @MethodSource("kernels")
    void fourBitsEqualBitsandbytes(Kernel kernel) {
        for (JsonElement element : golden.getAsJsonArray("four_bit")) {
            JsonObject expected = element.getAsJsonObject();
            Dtype dtype = Dtype.ofTorchName(expected.get("dtype").getAsString());
            int rows = expected.get("rows").getAsInt();
            int cols = expected.get("cols").getAsInt();
            float[] values =
                    GoldenInputs.values(rows * cols, expected.get("seed").getAsInt());
            for (boolean doubleQuant : new boolean[] {false, true}) {
                FourBitConfig config = new FourBitConfig(
                        QuantType.ofKey(expected.get("type").getAsString()),
                        expected.get("blocksize").getAsInt(),
                        doubleQuant);
                try (NDManager manager = Torch.newManager();
                        Scratch scratch = new Scratch()) {
                    NDArray matrix = Torch.empty(manager, dtype, rows, cols);
                    Torch.bytes(matrix, 0, Torch.byteSize(matrix)).put(GoldenInputs.memory(dtype, values));
                    try (FourBitWeight weight = FourBitWeight.quantize(matrix, config, kernel)) {
                        FourBitWeight.State state = weight.state();
                        String at = config + " " + expected;
                        assertThat(sha(state.packed())).as(at).isEqualTo(text(expected, "packed"));
                        if (doubleQuant) {
                            assertThat(sha(state.absmax())).as(at).isEqualTo(text(expected, "nested"));
                            assertThat(sha(state.nestedAbsmax())).as(at).isEqualTo(text(expected, "nested_absmax"));
                            assertThat(Float.floatToRawIntBits(state.offset()))
                                    .as(at)
                                    .isEqualTo(expected.get("offset_bits").getAsInt());
                        } else {
                            assertThat(sha(state.absmax())).as(at).isEqualTo(text(expected, "absmax"));
                        }
                        for (Dtype to : DTYPES) {
                            assertThat(sha(weight.dense(to, scratch)))
                                    .as("to %s: %s", to, at)
                                    .isEqualTo(text(expected, (doubleQuant ? "double_" : "plain_") + to.torchName()));
                        }
                    }
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("kernels")
    void eightBitsEqualBitsandbytes(Kernel kernel) {
        for (JsonElement element : golden.getAsJsonArray("eight_bit")) {
            JsonObject expected = element.getAsJsonObject();
            boolean signed = text(expected, "map").equals("signed");
            DynamicMap map = signed ? DynamicMap.SIGNED : DynamicMap.UNSIGNED;
            Dtype dtype = Dtype.ofTorchName(text(expected, "dtype"));
            int n = expected.get("elements").getAsInt();
            int blocksize = expected.get("blocksize").getAsInt();
            float[] values = GoldenInputs.values(n, expected.get("seed").getAsInt());
            for (int i = 0; i < n && !signed; i++) {
                values[i] = Math.abs(values[i]);
            }
            ByteBuffer codes = GoldenInputs.direct(n);
            ByteBuffer absmax = GoldenInputs.direct(4 * FourBitConfig.blocks(n, blocksize));
            kernel.quantizeEightBit(map, blocksize, dtype, GoldenInputs.memory(dtype, values), codes, absmax);
            assertThat(GoldenInputs.sha256(codes)).as("%s", expected).isEqualTo(text(expected, "codes"));
            assertThat(GoldenInputs.sha256(absmax)).as("%s", expected).isEqualTo(text(expected, "absmax"));
            for (Dtype to : DTYPES) {
                ByteBuffer out = GoldenInputs.direct((long) n * to.bytes());
                kernel.dequantizeEightBit(map, blocksize, codes, absmax, to, out);
                assertThat(GoldenInputs.sha256(out))
                        .as("%s", expected)
                        .isEqualTo(text(expected, "out_" + to.torchName()));
            }
        }
    }

    @ParameterizedTest
    @MethodSource("kernels")
    void whatIsNotFiniteIsRefused(Kernel kernel) {
        try (NDManager manager = Torch.newManager()) {
            for (float bad : new float[] {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY}) {
                NDArray matrix = Torch.ofFloats(manager, new float[] {1, 2, bad, 4}, 2, 2);
                assertThatThrownBy(() -> FourBitWeight.quantize(matrix, FourBitConfig.DEFAULT, kernel))
                        .isInstanceOf(QloraException.class)
                        .hasMessageContaining("element 2 is " + bad);
            }
        }
    }

    private static String text(JsonObject object, String key) {
        return object.get(key).getAsString();
    }

    private static String sha(NDArray tensor) {
        return GoldenInputs.sha256(Torch.bytes(tensor, 0, Torch.byteSize(tensor)));
    }
}
