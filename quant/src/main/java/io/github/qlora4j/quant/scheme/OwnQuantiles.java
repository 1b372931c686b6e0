package io.github.qlora4j.quant.scheme;

/**
 * Quantile quantization: a code made of the tensor's own distribution, so that each number is used equally often.
 *
 * <p>Every group is divided by its absmax, where there are several; the quotients' quantiles are the code. What lies
 * beyond the outermost of its numbers, the rarest weights, becomes that number: this scheme is fair to the many and hard on outliers.
 *
 * @param bits 2 to 8; the code has 2^bits − 1 numbers
 * @param granularity which weights share a scale
 */
public record OwnQuantiles(int bits, Granularity granularity) implements Scheme {

    /** Checks the bits. */
    public OwnQuantiles {
        Code.checkBits(bits, 2);
    }

    @Override
    public String name() {
        return "quantile" + bits;
    }

    @Override
    public Quantized quantize(float[] values, long... shape) {
        Groups groups = Groups.of(granularity, values.length, shape);
        float[] scales = new float[groups.count()];
        float[] relative = new float[values.length];
        groups.forEach((group, first, stride, count) -> {
            float absmax = Groups.absmax(values, first, stride, count);
            scales[group] = groups.count() == 1 ? 1 : absmax;
            for (int k = 0, i = first; k < count; k++, i += stride) {
                relative[i] = absmax == 0 ? 0 : values[i] / scales[group];
            }
        });
        Code code = Code.quantiles(relative, bits);
        for (int i = 0; i < scales.length; i++) {
            scales[i] *= (float) code.spread();
        }
        byte[] codes = Coded.encode(code, groups, values, scales);
        long table = (long) Float.SIZE * code.values().length; // unlike a fixed code, it has to be kept
        long bits = (long) this.bits * codes.length + (long) Float.SIZE * scales.length + table;
        return new Coded.Result(groups.shape(), granularity, code, codes, scales, bits);
    }
}
