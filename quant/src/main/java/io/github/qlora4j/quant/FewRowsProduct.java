package io.github.qlora4j.quant;

import ai.djl.ndarray.NDArray;

/**
 * Products of a few rows with weights that are never worked out whole, as decoding a token at a time needs them.
 *
 * <p>It owns a copy of its weights in a layout of its own; whoever asked for it closes it.
 */
public interface FewRowsProduct extends AutoCloseable {

    /**
     * {@code y = x weightᵀ}, without a bias, each time that it is run. The tensors are looked at once, here; they must stay
     * open, and where they are, as long as it is run.
     *
     * @param x bfloat16 [rows, in], contiguous
     * @param y bfloat16 [rows, out], contiguous, which receives the result
     * @throws IllegalArgumentException if they have another shape or dtype
     */
    Runnable between(NDArray x, NDArray y);

    /** Bytes that the copy takes. */
    long bytes();

    @Override
    void close();
}
