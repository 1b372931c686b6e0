package io.github.qlora4j.quant;

import ai.djl.ndarray.NDArray;

/**
 * Products of a few rows with a weight that is never worked out whole, as decoding a token at a time needs them.
 *
 * <p>It owns a copy of the weight in a layout of its own; whoever asked for it closes it.
 */
public interface FewRowsProduct extends AutoCloseable {

    /**
     * {@code y = x weightᵀ}, without a bias.
     *
     * @param x bfloat16 [rows, in], contiguous
     * @param y bfloat16 [rows, out], contiguous, which receives the result
     */
    void multiply(NDArray x, NDArray y);

    /** Bytes that the copy takes. */
    long bytes();

    @Override
    void close();
}
