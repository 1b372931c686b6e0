package io.github.qlora4j.quant;

/** The bits of 16-bit floats; Java 17 has no conversion of its own. Rounding is to nearest, ties to even. */
final class HalfFloat {

    private static final float[] FLOATS = new float[1 << 16];

    static {
        for (int bits = 0; bits < FLOATS.length; bits++) {
            int exponent = bits >> 10 & 0x1f;
            int fraction = bits & 0x3ff;
            float magnitude;
            if (exponent == 0) {
                magnitude = fraction * 0x1p-24f;
            } else if (exponent == 31) {
                magnitude = fraction == 0 ? Float.POSITIVE_INFINITY : Float.NaN;
            } else {
                magnitude = (1024 + fraction) * 0x1p-10f * Math.scalb(1f, exponent - 15);
            }
            FLOATS[bits] = (bits & 0x8000) == 0 ? magnitude : -magnitude;
        }
    }

    private HalfFloat() {}

    static float ofFp16(short bits) {
        return FLOATS[bits & 0xffff];
    }

    static short toFp16(float value) {
        int bits = Float.floatToRawIntBits(value);
        int sign = bits >>> 16 & 0x8000;
        int magnitude = bits & 0x7fffffff;
        if (magnitude > 0x7f800000) {
            return (short) (sign | 0x7e00);
        }
        if (magnitude >= 0x477ff000) {
            return (short) (sign | 0x7c00); // 65520 and more round to infinity
        }
        if (magnitude < 0x38800000) {
            // Below 2^-14 the spacing is 2^-24 throughout: adding a number whose last place that is rounds for us.
            float shifted = Float.intBitsToFloat(magnitude) + 0.5f;
            return (short) (sign | Float.floatToRawIntBits(shifted) - 0x3f000000);
        }
        int rounded = magnitude + 0xfff + (magnitude >>> 13 & 1);
        return (short) (sign | rounded - 0x38000000 >>> 13);
    }

    static short toBf16(float value) {
        int bits = Float.floatToRawIntBits(value);
        if ((bits & 0x7fffffff) > 0x7f800000) {
            return (short) (bits >>> 16 | 0x40); // a NaN must not round to infinity
        }
        return (short) (bits + 0x7fff + (bits >>> 16 & 1) >>> 16);
    }
}
