package io.github.qlora4j.quant.scheme;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;

/** A tensor after a {@link Scheme}: a code an element, a scale a group. Its arrays are its own and not to be changed. */
public sealed interface Quantized permits Absmax.Result, ZeroPoint.Result, Coded.Result {

    /** The tensor's shape, outermost length first. */
    long[] shape();

    /** A code an element, row by row, one a byte however many bits it takes. */
    byte[] codes();

    /** A scale a group, in the order of the groups' first elements; what it means is the scheme's. */
    float[] scales();

    /** The bits of everything that is needed to get the tensor back: codes packed, scales, and what else there is. */
    long bits();

    /** The tensor's elements again, as near as the codes have kept them. */
    float[] dequantize();

    /** The tensor again, rounded once to a dtype, owned by the manager. */
    default NDArray dequantize(NDManager manager, Dtype dtype) {
        NDArray floats = Torch.ofFloats(manager, dequantize(), shape());
        if (dtype == Dtype.FLOAT32) {
            return floats;
        }
        try (floats) {
            return Torch.cast(manager, floats, dtype);
        }
    }

    /** {@link #bits} for each weight. */
    default double bitsPerWeight() {
        return (double) bits() / codes().length;
    }
}
