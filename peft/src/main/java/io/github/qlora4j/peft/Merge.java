package io.github.qlora4j.peft;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.quant.torch.TorchScript;

/**
 * Adds an adapter to a weight for good: W' = W + scaling·B·A.
 *
 * <p>Everything is computed in float32 and rounded once, to the output's dtype. peft 0.21 rounds more often for bfloat16
 * and float16 adapters: it rounds the float32 product to the adapter's dtype and adds in the base's dtype.
 */
public final class Merge {

    private static final TorchScript OPS = TorchScript.load(Merge.class, "lora.py");

    private Merge() {}

    /**
     * Merges one module.
     *
     * @param manager owns the result
     * @param w the base's weight {@code [out, in]} in any floating dtype; of a 4-bit base the dequantized one, for that
     *     is what the adapter was trained on
     * @param dtype the result's dtype
     * @return a new weight in w's shape
     * @throws QloraException if the shapes do not fit, or the result holds a NaN or an infinity
     */
    public static NDArray merge(NDManager manager, NDArray w, LoraWeights lora, Dtype dtype) {
        return merge(manager, w, lora, dtype, false);
    }

    /** As {@link #merge(NDManager, NDArray, LoraWeights, Dtype)}; {@code fanInFanOut}: w is stored {@code [in, out]}. */
    public static NDArray merge(NDManager manager, NDArray w, LoraWeights lora, Dtype dtype, boolean fanInFanOut) {
        long[] shape = Torch.shape(w);
        long rows = fanInFanOut ? lora.cols() : lora.rows();
        long cols = fanInFanOut ? lora.rows() : lora.cols();
        if (shape.length != 2 || shape[0] != rows || shape[1] != cols) {
            throw new QloraException("The adapter of " + lora.module() + " is for a weight [" + rows + ", " + cols
                    + "], the base's is " + w.getShape() + ". Merge onto the model that the adapter was trained on.");
        }
        NDArray merged = OPS.tensor(manager, "merge", w, lora.a(), lora.b(), lora.scaling(), fanInFanOut, dtype.code());
        long bad = OPS.integer("count_not_finite", merged);
        if (bad > 0) {
            merged.close();
            throw new QloraException("Merging " + lora.module() + " gives " + bad
                    + " values that are NaN or infinite in " + dtype.torchName()
                    + ". The adapter is damaged, or the dtype is too narrow: try float32.");
        }
        return merged;
    }
}
