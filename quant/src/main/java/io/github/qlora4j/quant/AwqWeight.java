package io.github.qlora4j.quant;

import ai.djl.ndarray.NDArray;

/**
 * A matrix in 4 bits as AWQ leaves it (arXiv:2306.00978): an element is scale × (code − zero), with a scale and a zero
 * point for each output and group of neighbouring inputs. Dequantized before each use.
 *
 * <p>The weight owns its memory; whoever holds it closes it.
 */
public final class AwqWeight extends GroupedWeight {

    /** The one number of bits that AWQ's layouts have. */
    public static final int BITS = 4;

    /** Takes over the codes. */
    AwqWeight(GroupedCodes codes) {
        super(codes);
    }

    /**
     * Quantizes a matrix {@code [out, in]} of any floating-point dtype, in float16 as autoawq does; scales are float16.
     *
     * <p>That is AWQ's last step. {@link AwqSearch} finds what to do before it.
     *
     * @throws QloraException if the inputs do not fall into whole groups, or an element cannot be quantized
     */
    public static AwqWeight quantize(NDArray matrix, AwqConfig config) {
        return AwqSearch.quantize(matrix, config);
    }

    @Override
    public String scheme() {
        return "awq";
    }
}
