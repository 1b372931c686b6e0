package io.github.qlora4j.quant;

import java.util.List;

/**
 * How a matrix is quantized by GPTQ; names and defaults are those of {@code GPTQConfig} in transformers where it has
 * them.
 *
 * @param bits of a code: one of {@link #BITS}
 * @param groupSize inputs that share scales and zero points; −1 for all of a row
 * @param sym whether zero lies in the middle of the codes
 * @param descAct act-order: inputs are quantized from the one with the largest activations down
 * @param staticGroups groups are neighbouring inputs, and their scales found at the start, even under act-order
 * @param dampPercent of the mean of the Hessian's diagonal, added to it
 */
public record GptqConfig(
        int bits, int groupSize, boolean sym, boolean descAct, boolean staticGroups, double dampPercent) {

    /** The numbers of bits that checkpoints have. */
    public static final List<Integer> BITS = List.of(2, 3, 4, 8);

    /** 4 bits, groups of 128, symmetric, no act-order, as transformers 5.23 by default. */
    public static final GptqConfig DEFAULT = new GptqConfig(4, 128, true, false, false, 0.1);

    /** Checks the values; throws {@link QloraException} where the original would not take them. */
    public GptqConfig {
        if (!BITS.contains(bits)) {
            throw new QloraException("bits " + bits + " is not one of " + BITS);
        }
        if (groupSize != -1 && groupSize < 1) {
            throw new QloraException("group_size " + groupSize + " is neither -1 nor at least 1");
        }
        if (!(dampPercent > 0 && dampPercent < 1)) {
            throw new QloraException("damp_percent " + dampPercent + " is not between 0 and 1");
        }
    }

    /** Groups that so many inputs fall into. */
    public int groups(long inputs) {
        return groupSize == -1 ? 1 : (int) ((inputs + groupSize - 1) / groupSize);
    }
}
