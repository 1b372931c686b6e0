package io.github.qlora4j.quant.scheme;

/**
 * Symmetric integers: each weight times {@code 127 / absmax} of its group, rounded (127 for 8 bits).
 *
 * <pre>{@code
 * new Absmax(8, Granularity.TENSOR).quantize(new float[] {3.5f, 5.1f, -5.8f, 4.8f}).codes();  // 77, 112, -127, 105
 * }</pre>
 *
 * @param bits 2 to 8; the codes are ±(2^(bits−1) − 1) at most
 * @param granularity which weights share a scale
 */
public record Absmax(int bits, Granularity granularity) implements Scheme {

    /** Below this, 255 over it is no longer a float32. */
    static final float LEAST = 1e-36f;

    /** Checks the bits. */
    public Absmax {
        Code.checkBits(bits, 2);
    }

    @Override
    public String name() {
        return "absmax-int" + bits;
    }

    @Override
    public Quantized quantize(float[] values, long... shape) {
        Groups groups = Groups.of(granularity, values.length, shape);
        byte[] codes = new byte[values.length];
        float[] scales = new float[groups.count()];
        float most = (1 << bits - 1) - 1;
        groups.forEach((group, first, stride, count) -> {
            // torch computes 127 / x as the reciprocal of x times 127
            float scale = 1f / Math.max(LEAST, Groups.absmax(values, first, stride, count)) * most;
            for (int k = 0, i = first; k < count; k++, i += stride) {
                codes[i] = (byte) Math.rint(values[i] * scale);
            }
            scales[group] = scale;
        });
        return new Result(groups.shape(), granularity, bits, codes, scales);
    }

    /**
     * Symmetric integers and what they were scaled by: an element is {@code code / scale}.
     *
     * @param scales each was multiplied by: {@code 127 / absmax}
     */
    public record Result(long[] shape, Granularity granularity, int codeBits, byte[] codes, float[] scales)
            implements Quantized {

        @Override
        public long bits() {
            return (long) codeBits * codes.length + (long) Float.SIZE * scales.length;
        }

        @Override
        public float[] dequantize() {
            float[] values = new float[codes.length];
            Groups.of(granularity, codes.length, shape).forEach((group, first, stride, count) -> {
                for (int k = 0, i = first; k < count; k++, i += stride) {
                    values[i] = codes[i] / scales[group];
                }
            });
            return values;
        }
    }
}
