package io.github.qlora4j.peft;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.LinearWeight;
import io.github.qlora4j.quant.Scratch;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.quant.torch.TorchScript;

/**
 * A frozen linear module with its adapter: y = x·Wᵀ + scaling · (x·Aᵀ)·Bᵀ, and its gradients.
 *
 * <p>As in peft the adapter computes in its own dtype and the result has x's. There is no dropout here: drop elements
 * of x before, if they shall be.
 */
public final class LoraLinear {

    private static final TorchScript OPS = TorchScript.load(LoraLinear.class, "lora.py");

    private LoraLinear() {}

    /**
     * What a backward pass yields.
     *
     * @param a the gradient of A, {@code [r, in]}, in A's dtype
     * @param b the gradient of B, {@code [out, r]}
     * @param x the gradient of the input, in its shape
     */
    public record Gradients(NDArray a, NDArray b, NDArray x) {}

    /**
     * Computes y.
     *
     * @param manager owns the result
     * @param x {@code [.., in]}
     * @param w the frozen matrix {@code [out, in]}; cast to x's dtype where it has another
     * @return {@code [.., out]} in x's dtype
     */
    public static NDArray forward(NDManager manager, NDArray x, NDArray w, LoraWeights lora) {
        return OPS.tensor(manager, "forward", x, w, lora.a(), lora.b(), lora.scaling());
    }

    /**
     * Computes the gradients of A, B and x; W is frozen and gets none.
     *
     * @param manager owns the results
     * @param gradient the loss's gradient of y, {@code [.., out]}
     * @param x what {@link #forward} was given
     */
    public static Gradients backward(NDManager manager, NDArray gradient, NDArray x, NDArray w, LoraWeights lora) {
        NDList list = OPS.tensors(manager, "backward", gradient, x, w, lora.a(), lora.b(), lora.scaling());
        return new Gradients(list.get(0), list.get(1), list.get(2));
    }

    /** As {@link #forward(NDManager, NDArray, NDArray, LoraWeights)} with a matrix kept in any scheme, 4 bits too. */
    public static NDArray forward(NDManager manager, NDArray x, LinearWeight w, LoraWeights lora, Scratch scratch) {
        return forward(manager, x, w.dense(Torch.dtype(x), scratch), lora);
    }

    /** As {@link #backward(NDManager, NDArray, NDArray, NDArray, LoraWeights)} with a matrix kept in any scheme. */
    public static Gradients backward(
            NDManager manager, NDArray gradient, NDArray x, LinearWeight w, LoraWeights lora, Scratch scratch) {
        return backward(manager, gradient, x, w.dense(Torch.dtype(gradient), scratch), lora);
    }
}
