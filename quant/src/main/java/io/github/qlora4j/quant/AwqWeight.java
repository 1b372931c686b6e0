package io.github.qlora4j.quant;

import ai.djl.ndarray.NDArray;
import io.github.qlora4j.quant.torch.Dtype;

/**
 * A matrix in 4 bits as AWQ leaves it (arXiv:2306.00978): an element is scale × (code − zero), with a scale and a zero
 * point for each output and group of neighbouring inputs. Dequantized before each use.
 *
 * <p>The weight owns its memory; whoever holds it closes it.
 */
public final class AwqWeight implements LinearWeight {

    /** The one number of bits that AWQ's layouts have. */
    public static final int BITS = 4;

    private final GroupedCodes codes;

    /** Takes over the codes. */
    AwqWeight(GroupedCodes codes) {
        this.codes = codes;
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

    GroupedCodes codes() {
        return codes;
    }

    /** Groups of inputs, each with scales and zero points of its own. */
    public int groups() {
        return codes.groups();
    }

    @Override
    public long rows() {
        return codes.rows();
    }

    @Override
    public long cols() {
        return codes.cols();
    }

    @Override
    public long bytes() {
        return codes.bytes();
    }

    @Override
    public String scheme() {
        return "awq";
    }

    /** {@inheritDoc} Values are scale × (code − zero) in float32, rounded once. */
    @Override
    public NDArray dense(Dtype compute, Scratch scratch) {
        return codes.dense(compute, scratch);
    }

    @Override
    public void close() {
        codes.close();
    }
}
