package io.github.qlora4j.quant.scheme;

import io.github.qlora4j.quant.QloraException;

/**
 * Asymmetric integers: the range of a group, from its least weight to its largest, is spread over all codes.
 *
 * <p>For 8 bits: {@code scale = 255 / (max − min)}, {@code zero = round(−scale · min − 128)}, {@code code =
 * round(scale · x + zero)}, clipped to −128 … 127. A group whose weights are all the same comes back as that number.
 *
 * @param bits 2 to 8; there are 2^bits codes
 * @param granularity which weights share a scale and a zero point
 */
public record ZeroPoint(int bits, Granularity granularity) implements Scheme {

    /** Checks the bits. */
    public ZeroPoint {
        Code.checkBits(bits, 2);
    }

    @Override
    public String name() {
        return "zeropoint-int" + bits;
    }

    @Override
    public Quantized quantize(float[] values, long... shape) {
        Groups groups = Groups.of(granularity, values.length, shape);
        Result result = new Result(
                groups.shape(),
                granularity,
                bits,
                new byte[values.length],
                new float[groups.count()],
                new float[groups.count()]);
        groups.forEach((group, first, stride, count) -> quantize(values, result, group, first, stride, count));
        return result;
    }

    private void quantize(float[] values, Result result, int group, int first, int stride, int count) {
        float least = Float.POSITIVE_INFINITY;
        float most = Float.NEGATIVE_INFINITY;
        for (int k = 0, i = first; k < count; k++, i += stride) {
            float value = Groups.finite(values, i);
            least = Math.min(least, value);
            most = Math.max(most, value);
        }
        int lowest = -(1 << bits - 1);
        // Weights that are all alike have no range: they take their own size, which makes them exact. Zeros stay zeros.
        float range = Math.max(Absmax.LEAST, most > least ? most - least : Math.abs(most));
        if (range == Float.POSITIVE_INFINITY) {
            throw new QloraException("the weights reach from " + least + " to " + most
                    + ", further than a float32 can say; they cannot be quantized");
        }
        // torch computes 255 / x as the reciprocal of x times 255
        float scale = 1f / range * ((1 << bits) - 1);
        float zero = least == 0 && most == 0 ? 0 : (float) Math.rint(-scale * least + lowest);
        for (int k = 0, i = first; k < count; k++, i += stride) {
            float rounded = (float) Math.rint(values[i] * scale + zero);
            result.codes[i] = (byte) Math.max(lowest, Math.min(-lowest - 1, rounded));
        }
        result.scales[group] = scale;
        result.zeroPoints[group] = zero;
    }

    /**
     * Integers, what they were scaled by and where zero is: an element is {@code (code − zero) / scale}.
     *
     * @param scales each was multiplied by: {@code 255 / (max − min)}
     * @param zeroPoints whole numbers; outside the codes where the group's range does not hold 0
     */
    public record Result(
            long[] shape, Granularity granularity, int codeBits, byte[] codes, float[] scales, float[] zeroPoints)
            implements Quantized {

        @Override
        public long bits() {
            return (long) codeBits * codes.length + (long) Float.SIZE * (scales.length + zeroPoints.length);
        }

        @Override
        public float[] dequantize() {
            float[] values = new float[codes.length];
            Groups.of(granularity, codes.length, shape).forEach((group, first, stride, count) -> {
                for (int k = 0, i = first; k < count; k++, i += stride) {
                    values[i] = (codes[i] - zeroPoints[group]) / scales[group];
                }
            });
            return values;
        }
    }
}
