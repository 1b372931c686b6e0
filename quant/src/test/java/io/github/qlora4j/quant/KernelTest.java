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
    void oneNumberABlockComesBackAsItWas(Kernel kernel) {
        // Whole blocks only: the last one ends where the memory does.
        int n = 512;
        float[] values = new float[n];
        for (int i = 0; i < n; i++) {
            values[i] = i < n / 2 ? 0.5f : -3f;
        }
        ByteBuffer absmax = GoldenInputs.direct(8);
        ByteBuffer out = GoldenInputs.direct(4L * n);
        ByteBuffer packed = GoldenInputs.direct(n / 2);
        kernel.quantizeFourBit(
                QuantType.NF4, 256, Dtype.FLOAT32, GoldenInputs.memory(Dtype.FLOAT32, values), packed, absmax);
        assertThat(absmax.asFloatBuffer().get(0)).isEqualTo(0.5f);
        assertThat(absmax.asFloatBuffer().get(1)).isEqualTo(3f);
        kernel.dequantizeFourBit(QuantType.NF4, 256, packed, absmax, Dtype.FLOAT32, out);
        assertThat(out).isEqualTo(GoldenInputs.memory(Dtype.FLOAT32, values));
        ByteBuffer codes = GoldenInputs.direct(n);
        kernel.quantizeEightBit(
                DynamicMap.SIGNED, 256, Dtype.FLOAT32, GoldenInputs.memory(Dtype.FLOAT32, values), codes, absmax);
        kernel.dequantizeEightBit(DynamicMap.SIGNED, 256, codes, absmax, Dtype.FLOAT32, out);
        assertThat(out.asFloatBuffer().get(0)).isEqualTo(0.5f);
        // the map is not symmetric: it has 1 and its largest negative number is -0.9929687
        assertThat(out.asFloatBuffer().get(n - 1))
                .isEqualTo(3f * DynamicMap.SIGNED.values()[0]);
    }

    /** A weight is looked at once, at its first use; one with products that are subnormal must not be handed on. */
    @ParameterizedTest
    @MethodSource("kernels")
    void smallestWeightsComeOutAsTheBuiltInKernelHasThem(Kernel kernel) {
        float[] values = GoldenInputs.values(64 * 128, 7);
        for (int i = 0; i < 128; i++) {
            values[64 * i] *= 1e-38f;
            for (int j = 1; j < 64; j++) {
                values[64 * i + j] *= i % 2 == 0 ? 1e-38f : 1f;
            }
        }
        FourBitConfig config = new FourBitConfig(QuantType.NF4, 64, false);
        try (NDManager manager = Torch.newManager();
                Scratch scratch = new Scratch();
                FourBitWeight weight =
                        FourBitWeight.quantize(Torch.ofFloats(manager, values, 64, 128), config, kernel);
                FourBitWeight plain = FourBitWeight.quantize(
                        Torch.ofFloats(manager, values, 64, 128), config, BuiltinKernel.INSTANCE)) {
            String expected = sha(plain.dense(Dtype.BFLOAT16, scratch));
            for (int use = 0; use < 2; use++) {
                assertThat(sha(weight.dense(Dtype.BFLOAT16, scratch))).isEqualTo(expected);
            }
        }
    }

    @Test
    void aMapOfACheckpointIsTheUsualOneOnlyWhereItIsEqual() {
        float[] values = DynamicMap.SIGNED.values();
        assertThat(DynamicMap.of(values)).isSameAs(DynamicMap.SIGNED);
        values[7] = Math.nextUp(values[7]);
        DynamicMap other = DynamicMap.of(values);
        float changed = values[7];
        values[7] = 0;
        assertThat(other.values()[7]).isEqualTo(changed);
    }

    @Test
    void kernelsHaveTheNamesThatAConfigurationUses() {
        assertThat(BuiltinKernel.INSTANCE.name()).isEqualTo("builtin");
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
