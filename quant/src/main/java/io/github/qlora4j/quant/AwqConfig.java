package io.github.qlora4j.quant;

/**
 * How a matrix is quantized by AWQ, to {@link AwqWeight#BITS} bits with zero points; names and defaults are those of
 * {@code AwqConfig} in transformers.
 *
 * @param groupSize inputs that share scales and zero points; −1 for all of a row
 */
public record AwqConfig(int groupSize) {

    /** Groups of 128. */
    public static final AwqConfig DEFAULT = new AwqConfig(128);

    /** Checks the group size; throws {@link QloraException} where the original would not take it. */
    public AwqConfig {
        if (groupSize != -1 && groupSize < 1) {
            throw new QloraException("group_size " + groupSize + " is neither -1 nor at least 1");
        }
    }

    /** Inputs of a group in a layer of so many. */
    public long size(long inputs) {
        return groupSize == -1 ? inputs : groupSize;
    }

    /** The same, where all groups are whole. */
    long wholeSize(long inputs) {
        long size = size(inputs);
        if (inputs % size != 0) {
            throw new QloraException(
                    inputs + " inputs do not fall into groups of " + size + "; a group_size that divides"
                            + " them is needed, " + (inputs & -inputs) + " for instance, or -1 for a group a row");
        }
        return size;
    }
}
