package io.github.qlora4j.quant;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Rounding is checked at every number that 16 bits have: on it, at the midpoint above it, and beside that midpoint. */
class HalfFloatTest {

    @Test
    void everyHalfRoundsToItselfAndMidpointsToTheEvenNeighbour() {
        for (int bits = 0; bits < 0x7c00; bits++) {
            float low = HalfFloat.ofFp16((short) bits);
            float high = bits == 0x7bff ? 65536f : HalfFloat.ofFp16((short) (bits + 1));
            float middle = (low + high) / 2; // exact in float32
            int even = bits + (bits & 1);
            assertRounds(low, bits);
            assertRounds(Math.nextDown(middle), bits);
            assertRounds(middle, even);
            assertRounds(Math.nextUp(middle), bits + 1);
        }
    }

    private static void assertRounds(float value, int expected) {
        if (HalfFloat.toFp16(value) != (short) expected || HalfFloat.toFp16(-value) != (short) (0x8000 | expected)) {
            assertThat(Integer.toHexString(HalfFloat.toFp16(value) & 0xffff))
                    .as("%s and its negative", value)
                    .isEqualTo(Integer.toHexString(expected));
            assertThat(HalfFloat.toFp16(-value)).as("%s", -value).isEqualTo((short) (0x8000 | expected));
        }
    }

    @ParameterizedTest
    @CsvSource({
        "0x0000, 0.0",
        "0x0001, 5.9604645e-8", // 2^-24, the least
        "0x03ff, 6.097555e-5",
        "0x0400, 6.1035156e-5", // 2^-14, the least normal one
        "0x3555, 0.33325195",
        "0x3c00, 1.0",
        "0xc000, -2.0",
        "0x7bff, 65504.0",
        "0xfbff, -65504.0",
    })
    void halvesReadAsNumpyReadsThem(String bits, float value) {
        assertThat(HalfFloat.ofFp16(Integer.decode(bits).shortValue())).isEqualTo(value);
        assertThat(HalfFloat.toFp16(value)).isEqualTo(Integer.decode(bits).shortValue());
    }

    @Test
    void infinityAndNotANumberStayWhatTheyAre() {
        assertThat(HalfFloat.toFp16(Float.POSITIVE_INFINITY)).isEqualTo((short) 0x7c00);
        assertThat(HalfFloat.toFp16(Float.NEGATIVE_INFINITY)).isEqualTo((short) 0xfc00);
        assertThat(HalfFloat.toFp16(Float.MAX_VALUE)).isEqualTo((short) 0x7c00);
        assertThat(HalfFloat.toBf16(Float.POSITIVE_INFINITY)).isEqualTo((short) 0x7f80);
        assertThat(HalfFloat.toBf16(Float.NEGATIVE_INFINITY)).isEqualTo((short) 0xff80);
        assertThat(HalfFloat.ofFp16((short) 0x7c00)).isEqualTo(Float.POSITIVE_INFINITY);
        assertThat(HalfFloat.ofFp16((short) 0xfc00)).isEqualTo(Float.NEGATIVE_INFINITY);
        assertThat(HalfFloat.ofFp16((short) 0x7c01)).isNaN();
        for (int bits : new int[] {0x7fc00000, 0x7f800001, 0x7fffffff, 0xff800001}) {
            float value = Float.intBitsToFloat(bits);
            assertThat(HalfFloat.ofFp16(HalfFloat.toFp16(value)))
                    .as("fp16 of %x", bits)
                    .isNaN();
            int brain = HalfFloat.toBf16(value);
            assertThat(Float.intBitsToFloat(brain << 16)).as("bf16 of %x", bits).isNaN();
            assertThat(brain < 0).as("the sign of %x", bits).isEqualTo(bits < 0);
            assertThat(HalfFloat.toFp16(value) < 0).as("the sign of %x", bits).isEqualTo(bits < 0);
        }
    }

    @Test
    void brainFloatsRoundToTheNearestAndTiesToEven() {
        for (int high = 0; high < 0x7f80; high++) {
            int[] tails = {0, 0x7fff, 0x8000, 0x8001, 0xffff};
            int[] rounded = {high, high, high + (high & 1), high + 1, high + 1};
            for (int i = 0; i < tails.length; i++) {
                float value = Float.intBitsToFloat(high << 16 | tails[i]);
                if (HalfFloat.toBf16(value) != (short) rounded[i]) {
                    assertThat(HalfFloat.toBf16(value)).as("%x", high).isEqualTo((short) rounded[i]);
                }
            }
        }
    }
}
