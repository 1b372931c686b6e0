package io.github.qlora4j.peft;

import ai.djl.ndarray.NDArray;
import io.github.qlora4j.quant.torch.Torch;

/**
 * The two matrices of one module. They belong to the manager that made them; an {@link Adapter} closes its own.
 *
 * @param module the module's dotted name
 * @param r the rank
 * @param a A, {@code [r, in]}
 * @param b B, {@code [out, r]}, in A's dtype
 * @param scaling what B·A is multiplied by
 */
public record LoraWeights(String module, int r, NDArray a, NDArray b, double scaling) {

    /** Checks that A and B fit together. */
    public LoraWeights {
        long[] shapeA = Torch.shape(a);
        long[] shapeB = Torch.shape(b);
        if (shapeA.length != 2 || shapeB.length != 2 || shapeA[0] != r || shapeB[1] != r) {
            throw new IllegalArgumentException(module + ": rank " + r + " does not fit A " + a.getShape() + " and B "
                    + b.getShape() + "; expected [r, in] and [out, r]");
        }
        if (Torch.dtype(a) != Torch.dtype(b)) {
            throw new IllegalArgumentException(module + ": A is "
                    + Torch.dtype(a).torchName() + " and B is " + Torch.dtype(b).torchName());
        }
    }

    /** Output features. */
    public long rows() {
        return Torch.shape(b)[0];
    }

    /** Input features. */
    public long cols() {
        return Torch.shape(a)[1];
    }
}
