package io.github.qlora4j.quant.scheme;

import ai.djl.ndarray.NDArray;
import io.github.qlora4j.quant.torch.Torch;

/**
 * A way to round the weights of a tensor to few bits.
 *
 * <p>All arithmetic is float32 and rounds half to even, as torch's does; results do not depend on the number of threads.
 * A tensor or a group of zeros comes back as zeros.
 */
public sealed interface Scheme permits Absmax, ZeroPoint, Coded, OwnQuantiles {

    /** The name that {@link SchemeNames} reads, {@code absmax-int8} for instance. */
    String name();

    /** Which weights share a scale. */
    Granularity granularity();

    /**
     * Quantizes a tensor.
     *
     * @param values its elements, row by row; they are not changed
     * @param shape its lengths, outermost first; all lengths but the last count as rows; none means one row
     * @throws io.github.qlora4j.quant.QloraException if an element is NaN or infinite
     */
    Quantized quantize(float[] values, long... shape);

    /** Quantizes a tensor of any floating-point dtype, by way of float32. */
    default Quantized quantize(NDArray tensor) {
        return quantize(Torch.toFloats(tensor), Torch.shape(tensor));
    }

    /** The name and the granularity, as {@link SchemeNames#parse} reads them: {@code nf4:block64}. */
    default String label() {
        return name() + ":" + granularity();
    }
}
