package io.github.qlora4j.quant.scheme;

import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.DynamicMap;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.QuantType;
import io.github.qlora4j.quant.torch.Torch;
import java.util.Arrays;
import java.util.function.DoubleUnaryOperator;

/**
 * The numbers between −1 and 1 that a scaled weight can become.
 *
 * <p>The maps of bitsandbytes hold 256 numbers whatever the width, filled up with zeros; a code holds each number once.
 *
 * @param name how it is called, {@code nf4} for instance
 * @param bits what the number of a value takes: there are at most 2^bits values
 * @param values ascending; a copy is taken and given
 * @param spread what the values were divided by to reach from −1 to 1, in the units of what they were made from: standard
 *     deviations for {@link #normal}, the tensor's own for {@link #quantiles}, else 1
 */
public record Code(String name, int bits, float[] values, double spread) {

    /** Checks that the values ascend within −1 and 1. */
    public Code {
        values = values.clone();
        checkBits(bits, 1);
        if (values.length == 0 || values.length > 1 << bits) {
            throw new QloraException(
                    name + ": a code of " + bits + " bits has 1 to " + (1 << bits) + " values, got " + values.length);
        }
        for (int i = 0; i < values.length; i++) {
            if (!(Math.abs(values[i]) <= 1) || i > 0 && !(values[i - 1] < values[i])) {
                throw new QloraException(name + ": values between -1 and 1 in ascending order were expected, got "
                        + values[i] + (i == 0 ? "" : " after " + values[i - 1]));
            }
        }
    }

    @Override
    public float[] values() {
        return values.clone();
    }

    /** A code of any numbers, in any order, without regard to repeated ones. */
    public static Code of(String name, int bits, float... numbers) {
        return of(name, bits, 1, numbers);
    }

    private static Code of(String name, int bits, double spread, float... numbers) {
        float[] sorted = new float[numbers.length];
        for (int i = 0; i < sorted.length; i++) {
            sorted[i] = numbers[i] + 0f; // −0 becomes 0
        }
        Arrays.sort(sorted);
        int count = 0;
        for (int i = 0; i < sorted.length; i++) {
            if (i == 0 || sorted[i] != sorted[i - 1]) {
                sorted[count++] = sorted[i];
            }
        }
        return new Code(name, bits, Arrays.copyOf(sorted, count), spread);
    }

    /** NF4, from the constants of bitsandbytes; {@link #normalMap} derives them. */
    public static Code nf4() {
        return of("nf4", 4, QuantType.NF4.code());
    }

    /** bitsandbytes' FP4: its 15 numbers in order. Its smallest number is not that of {@code create_fp8_map(2, 1, 4)}. */
    public static Code fp4() {
        return of("fp4", 4, QuantType.FP4.code());
    }

    /**
     * {@code create_normal_map}: quantiles of the normal distribution at equal steps from {@code offset} to a half, each
     * half by itself.
     *
     * @param offset the outermost probability; 0.9677083 gives NF4
     * @param extraValue 8 values above zero and 7 below, else 7 and 7
     */
    public static Code normalMap(double offset, boolean extraValue) {
        float[] above = upperQuantiles(offset, extraValue ? 9 : 8);
        float[] below = upperQuantiles(offset, 8);
        float[] values = new float[above.length + below.length + 1]; // with the 0
        for (int i = 0; i < above.length; i++) {
            values[i] = above[i] / above[0];
        }
        for (int i = 0; i < below.length; i++) {
            values[above.length + i] = -below[i] / above[0];
        }
        return of("normal-map", 4, values);
    }

    /** Quantiles in float32, of probabilities in float32, as scipy gives torch's; without that of a half. */
    private static float[] upperQuantiles(double offset, int steps) {
        float[] probabilities = linspace(offset, 0.5, steps);
        double[] wide = new double[steps - 1];
        for (int i = 0; i < wide.length; i++) {
            wide[i] = probabilities[i];
        }
        return floats(Normal.quantiles(wide), 1);
    }

    /**
     * Quantiles of the normal distribution: the 2^bits − 1 numbers {@code q_i} of QLoRA's equation 4, over the largest.
     *
     * <p>Of normal numbers over {@link #spread}, each code but the outermost two becomes as many; these get the tails
     * as well.
     */
    public static Code normal(int bits) {
        checkBits(bits, 2);
        int parts = (1 << bits) + 1;
        double[] bounds = new double[parts];
        for (int i = 1; i < parts; i++) {
            bounds[i] = (double) i / parts;
        }
        double[] found = Normal.quantiles(Arrays.copyOfRange(bounds, 1, parts));
        double[] q = midpoints(bits, i -> (found[(int) i - 1] - found[parts - 1 - (int) i]) / 2); // exactly symmetric
        return ofQuantiles("normal" + bits, bits, q);
    }

    /**
     * Quantiles of a tensor's own distribution: the 2^bits − 1 numbers {@code q_i} of QLoRA's equation 4, over the
     * largest of them. Between two elements quantiles are interpolated as numpy does.
     *
     * @param values the tensor's elements, at least one, none of them NaN
     */
    public static Code quantiles(float[] values, int bits) {
        checkBits(bits, 2);
        if (values.length == 0) {
            throw new QloraException("no elements, so there are no quantiles");
        }
        float[] sorted = values.clone();
        Arrays.parallelSort(sorted);
        int parts = (1 << bits) + 1;
        double[] q = midpoints(bits, i -> quantile(sorted, i / parts));
        return ofQuantiles("quantile" + bits, bits, q);
    }

    /** ½ (Q(i / (2^bits + 1)) + Q((i + 1) / (2^bits + 1))) for i from 1 to 2^bits − 1. */
    private static double[] midpoints(int bits, DoubleUnaryOperator quantileOf) {
        double[] q = new double[(1 << bits) - 1];
        for (int i = 1; i <= q.length; i++) {
            q[i - 1] = (quantileOf.applyAsDouble(i) + quantileOf.applyAsDouble(i + 1)) / 2;
        }
        return q;
    }

    private static Code ofQuantiles(String name, int bits, double[] q) {
        double spread = Math.max(Math.abs(q[0]), Math.abs(q[q.length - 1]));
        return of(name, bits, spread, floats(q, spread == 0 ? 1 : spread));
    }

    /** numpy's {@code quantile} with linear interpolation, its way of rounding included. */
    private static double quantile(float[] sorted, double probability) {
        double at = probability * (sorted.length - 1);
        int low = (int) Math.floor(at);
        double a = sorted[low];
        double b = sorted[Math.min(low + 1, sorted.length - 1)];
        double t = at - low;
        return t < 0.5 ? a + (b - a) * t : b - (b - a) * (1 - t);
    }

    /**
     * {@code create_dynamic_map}: an exponent of changing length and a linear fraction.
     *
     * @param signed for values of both signs, else for those from 0 up
     */
    public static Code dynamic(boolean signed, int maxExponentBits, int totalBits) {
        return of("dynamic" + totalBits, totalBits, DynamicMap.create(signed, maxExponentBits, totalBits));
    }

    /**
     * {@code create_fp8_map}: floating-point numbers of at most 8 bits, over the largest of them.
     *
     * @param exponentBits 1 to 7
     * @param precisionBits of the fraction; with the exponent's and the sign's they make 2 to 8
     */
    public static Code fp8(boolean signed, int exponentBits, int precisionBits) {
        int bits = exponentBits + precisionBits + (signed ? 1 : 0);
        if (exponentBits < 1 || exponentBits > 7 || precisionBits < 0 || bits < 2 || bits > 8) {
            throw new QloraException("e" + exponentBits + "m" + precisionBits
                    + ": expected an exponent of 1 to 7 bits, and 2 to 8 bits in all");
        }
        int bias = 1 << exponentBits - 1;
        int fractions = 1 << precisionBits;
        float largest = 0;
        float[] values = new float[2 << exponentBits + precisionBits];
        for (int exponent = 0; exponent < 1 << exponentBits; exponent++) {
            for (int fraction = 0; fraction < fractions; fraction++) {
                float part = (float) fraction / fractions;
                // exponents run downwards in bitsandbytes; all of these are exact
                float value = exponent == 0 ? Math.scalb(part, -bias) : Math.scalb(1 + part, bias + 1 - exponent);
                int at = 2 * (exponent * fractions + fraction);
                values[at] = value;
                values[at + 1] = signed ? -value : value;
                largest = Math.max(largest, value);
            }
        }
        for (int i = 0; i < values.length; i++) {
            values[i] /= largest;
        }
        return of("e" + exponentBits + "m" + precisionBits, bits, values);
    }

    /**
     * {@code create_linear_map}: equal steps from −1, or from 0, to 1.
     *
     * @param addZero leaves one number out to have 0 in the middle; below 8 bits it always is so
     */
    public static Code linear(boolean signed, int totalBits, boolean addZero) {
        checkBits(totalBits, 2);
        boolean zero = addZero || totalBits < 8;
        int count = (1 << totalBits) - (zero && signed ? 1 : 0);
        float[] values = linspace(signed ? -1 : 0, 1, count);
        // torch's middle may be 3e-8; bitsandbytes puts a true 0 beside it
        return of("linear" + totalBits, totalBits, zero ? Arrays.copyOf(values, count + 1) : values);
    }

    private static float[] linspace(double start, double end, int steps) {
        try (NDManager manager = Torch.newManager()) {
            return Torch.toFloats(Normal.Operators.SCRIPT.tensor(manager, "linspace", start, end, steps));
        }
    }

    private static float[] floats(double[] values, double divisor) {
        float[] floats = new float[values.length];
        for (int i = 0; i < floats.length; i++) {
            floats[i] = (float) (values[i] / divisor);
        }
        return floats;
    }

    static void checkBits(int bits, int least) {
        if (bits < least || bits > 8) {
            throw new QloraException(bits + " bits; " + least + " to 8 were expected");
        }
    }

    /** Whether 0 is among the values. */
    public boolean hasZero() {
        return Arrays.binarySearch(values, 0f) >= 0;
    }

    /** The number of the value that is nearest to a weight over its group's scale; of two as near, the lower. */
    public int nearest(float scaled) {
        return nearest(bounds(), scaled);
    }

    /** Midway between neighbours, in float32 as torch computes it. */
    float[] bounds() {
        float[] bounds = new float[values.length - 1];
        for (int i = 0; i < bounds.length; i++) {
            bounds[i] = (values[i] + values[i + 1]) / 2;
        }
        return bounds;
    }

    /** How many bounds lie below: torch's {@code bucketize}. */
    static int nearest(float[] bounds, float scaled) {
        int low = 0;
        int high = bounds.length;
        while (low < high) {
            int middle = low + high >>> 1;
            if (bounds[middle] < scaled) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        return low;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Code code
                && name.equals(code.name)
                && bits == code.bits
                && spread == code.spread
                && Arrays.equals(values, code.values);
    }

    @Override
    public int hashCode() {
        return 31 * name.hashCode() + Arrays.hashCode(values);
    }
}
