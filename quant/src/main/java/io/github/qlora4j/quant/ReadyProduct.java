package io.github.qlora4j.quant;

import ai.djl.ndarray.NDArray;
import io.github.qlora4j.quant.torch.Dtype;
import java.util.List;

/**
 * The weights of linear layers that take the same input, laid out once for many products with all of them.
 *
 * <p>It owns a copy of the weights in a layout of its own; whoever asked for it closes it.
 */
public interface ReadyProduct extends AutoCloseable {

    /** The weights worked out in {@code compute}, for schemes without a product of their own. */
    static ReadyProduct dense(List<? extends LinearWeight> weights, Dtype compute) {
        return new DenseProduct(weights, compute);
    }

    /** Whether this CPU has oneDNN's packed products in bfloat16, which {@link #dense} then uses. */
    static boolean packsBfloat16() {
        return DenseProduct.packsBfloat16();
    }

    /**
     * {@code y = x weightsᵀ}, without a bias, each time that it is run. The tensors are looked at once, here; they must
     * stay open, and where they are, as long as it is run.
     *
     * @param x [rows, in] in {@link #dtype}, contiguous
     * @param y [rows, out], likewise, which receives the results of one weight behind those of another
     * @throws IllegalArgumentException if they have another shape or dtype
     */
    Runnable between(NDArray x, NDArray y);

    /** What it takes and gives. */
    Dtype dtype();

    /** With more rows at once, products with weights that are worked out for them are faster. */
    int mostRows();

    /** Bytes that the copy takes. */
    long bytes();

    @Override
    void close();
}
