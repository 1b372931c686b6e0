package io.github.qlora4j.quant.scheme;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import io.github.qlora4j.quant.QloraException;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Numbers that can be followed by hand. */
class WorkedNumbersTest {

    private static final Absmax ABSMAX = new Absmax(8, Granularity.TENSOR);
    private static final ZeroPoint ZERO_POINT = new ZeroPoint(8, Granularity.TENSOR);

    private static final float[] OUTLIER = {-0.10f, -0.23f, 0.08f, -0.38f, -0.28f, -0.29f, -2.11f, 0.34f, -0.53f, -67.0f
    };

    private static float[] rounded(float[] values, int digits) {
        float[] rounded = new float[values.length];
        for (int i = 0; i < rounded.length; i++) {
            rounded[i] = (float) (Math.round(values[i] * Math.pow(10, digits)) / Math.pow(10, digits));
        }
        return rounded;
    }

    @Test
    void absmax() {
        assertThat(ABSMAX.quantize(new float[] {1.2f, -0.5f, -4.3f, 1.2f, -3.1f, 0.8f, 2.4f, 5.4f})
                        .codes())
                .containsExactly(28, -12, -101, 28, -73, 19, 56, 127);
        Quantized even = ABSMAX.quantize(new float[] {3.5f, 5.1f, -5.8f, 4.8f});
        assertThat(even.codes()).containsExactly(77, 112, -127, 105);
        assertThat(rounded(even.dequantize(), 2)).containsExactly(3.52f, 5.11f, -5.8f, 4.8f);
        Quantized outlier = ABSMAX.quantize(new float[] {3.5f, 5.1f, -5.8f, 99});
        assertThat(outlier.codes()).containsExactly(4, 7, -7, 127);
        assertThat(rounded(outlier.dequantize(), 2)).containsExactly(3.12f, 5.46f, -5.46f, 99.0f);
    }

    @Test
    void zeroPoint() {
        ZeroPoint.Result result = (ZeroPoint.Result) ZERO_POINT.quantize(new float[] {-3.0f, 0.1f, 3.2f});
        assertThat(result.scales()[0]).isCloseTo(41.13f, within(0.005f));
        assertThat(result.zeroPoints()).containsExactly(-5f);
        assertThat(result.codes()).containsExactly(-128, -1, 127);
        Quantized symmetric = ABSMAX.quantize(new float[] {-3.0f, 0.1f, 3.2f});
        assertThat(symmetric.codes()[1]).isEqualTo((byte) 4);
        assertThat(symmetric.dequantize()[1]).isCloseTo(0.1008f, within(0.00005f));
    }

    @Test
    void halvesGoToTheEvenNumber() {
        // absmax 127 makes the scale 1
        assertThat(ABSMAX.quantize(new float[] {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 127})
                        .codes())
                .containsExactly(0, 2, 2, 0, -2, 127);
        // the range 0 … 255 makes the scale 1 and puts zero at −128
        assertThat(ZERO_POINT.quantize(new float[] {0, 0.5f, 1.5f, 255}).codes())
                .containsExactly(-128, -128, -126, 127);
    }

    @Test
    void granularities() {
        float[] matrix = {1, -2, 4, 8, -16, 32};
        assertThat(new Absmax(8, Granularity.ROW).quantize(matrix, 2, 3).scales())
                .containsExactly(127f / 4, 127f / 32);
        Quantized columns = new Absmax(8, Granularity.COLUMN).quantize(matrix, 2, 3);
        assertThat(columns.scales()).containsExactly(127f / 8, 127f / 16, 127f / 32);
        assertThat(columns.codes()).containsExactly(16, -16, 16, 127, -127, 127);
        Quantized blocks = new Absmax(8, Granularity.block(4)).quantize(matrix, 2, 3);
        assertThat(blocks.codes()).containsExactly(16, -32, 64, 127, -64, 127);
        assertThat(blocks.bitsPerWeight()).isCloseTo(8 + 2 * 32 / 6.0, within(1e-12));
        assertThat(new ZeroPoint(8, Granularity.ROW).quantize(matrix, 2, 3).bitsPerWeight())
                .isCloseTo(8 + 4 * 32 / 6.0, within(1e-12));
    }

    /** One outlier takes the codes from all others of its block, and from nobody else. */
    @Test
    void anOutlierCostsItsBlock() {
        float[] without = Arrays.copyOf(OUTLIER, 9);
        assertThat(ABSMAX.quantize(without).codes()).containsExactly(-6, -14, 5, -23, -17, -17, -127, 20, -32);
        assertThat(ABSMAX.quantize(OUTLIER).codes()).containsExactly(0, 0, 0, -1, -1, -1, -4, 1, -1, -127);
        for (Scheme scheme : List.of(ABSMAX, new Coded(Code.linear(true, 8, true), Granularity.TENSOR, false))) {
            assertThat(error(scheme, without, 9)).isCloseTo(0.00305, within(0.00001));
            assertThat(error(scheme, OUTLIER, 9)).isCloseTo(0.13699, within(0.00001));
        }
        // in blocks of five the first block does not know of it
        Scheme blocks = new Coded(Code.linear(true, 8, true), Granularity.block(5), false);
        assertThat(error(blocks, OUTLIER, 5)).isCloseTo(0.00074, within(0.00001));
    }

    /** The mean absolute error of the first elements. */
    private static double error(Scheme scheme, float[] values, int count) {
        float[] back = scheme.quantize(values).dequantize();
        double sum = 0;
        for (int i = 0; i < count; i++) {
            sum += Math.abs(back[i] - values[i]);
        }
        return sum / count;
    }

    static Stream<Scheme> schemes() {
        return Stream.concat(
                SchemeNames.standard().stream(),
                Stream.of("absmax-int2", "zeropoint-int3:column", "e4m3:row", "quantile3:tensor", "nf4-double:block1")
                        .flatMap(name -> SchemeNames.parse(name).stream()));
    }

    @ParameterizedTest
    @MethodSource("schemes")
    void zerosStayZeros(Scheme scheme) {
        assertThat(scheme.quantize(new float[256], 4, 64).dequantize()).containsOnly(0f);
        assertThat(scheme.quantize(new float[70]).dequantize()).containsOnly(0f);
        float[] half = new float[256];
        for (int i = 128; i < 256; i++) {
            half[i] = (float) Math.sin(i);
        }
        float[] back = scheme.quantize(half, 4, 64).dequantize();
        for (int i = 0; i < 256; i++) {
            assertThat(back[i]).as("%s, element %d", scheme, i).isFinite();
            if (i < 128
                    && scheme.granularity().kind() != Granularity.Kind.COLUMN
                    && !scheme.name().startsWith("zero")) {
                assertThat(back[i]).as("%s, element %d", scheme, i).isZero();
            }
        }
        if (scheme instanceof Absmax || scheme instanceof ZeroPoint) {
            assertThat(scheme.quantize(new float[256], 4, 64).codes()).containsOnly(0);
        }
    }

    @ParameterizedTest
    @MethodSource("schemes")
    void numbersAtTheEndsOfFloat32StayNumbers(Scheme scheme) {
        for (float size : new float[] {Float.MIN_VALUE, 1e-42f, 1e-38f, 3e-37f, 1e30f, 1e36f}) {
            float[] values = {size, -size, size / 2, 0, size, size, size, size};
            for (float value : scheme.quantize(values, 2, 4).dequantize()) {
                assertThat(value).as("%s of %s", scheme, size).isFinite();
                // 7/6: where a range is not centred, zero's code may lie half a step of 3 bits off
                assertThat(Math.abs(value))
                        .as("%s of %s", scheme, size)
                        .isLessThanOrEqualTo(Math.max(size, 1e-37f) * 7 / 6);
            }
        }
    }

    @Test
    void aConstantTensorComesBack() {
        for (float constant : new float[] {1, -1, 0.001f, 5, 1e-20f, -3e38f}) {
            float[] values = {constant, constant, constant};
            assertThat(ZERO_POINT.quantize(values).dequantize())
                    .as("%s", constant)
                    .containsExactly(values, within(Math.abs(constant) * 1e-6f));
            assertThat(ABSMAX.quantize(values).dequantize())
                    .as("%s", constant)
                    .containsExactly(values, within(Math.abs(constant) * 1e-6f));
        }
    }

    @ParameterizedTest
    @MethodSource("schemes")
    void whatIsNoNumberIsNamed(Scheme scheme) {
        for (float bad : List.of(Float.NaN, Float.NEGATIVE_INFINITY)) {
            assertThatThrownBy(() -> scheme.quantize(new float[] {1, 2, bad, 4}, 2, 2))
                    .isInstanceOf(QloraException.class)
                    .hasMessageContaining("element 2 is " + bad);
        }
    }

    @Test
    void whatCannotBeQuantizedIsSaid() {
        assertThatThrownBy(() -> ZERO_POINT.quantize(new float[] {-3e38f, 3e38f}))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("from -3.0E38 to 3.0E38");
        assertThatThrownBy(() -> ABSMAX.quantize(new float[6], 2, 4)).hasMessageContaining("[2, 4]");
        assertThatThrownBy(() -> new Absmax(9, Granularity.ROW)).hasMessageContaining("9 bits; 2 to 8");
        assertThatThrownBy(() -> Granularity.block(0)).hasMessageContaining("less than 1");
        assertThatThrownBy(() -> new Coded(Code.of("signs", 1, -1, 1), Granularity.ROW, true))
                .hasMessageContaining("holds 0");
    }
}
