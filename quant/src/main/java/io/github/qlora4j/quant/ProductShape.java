package io.github.qlora4j.quant;

import ai.djl.ndarray.NDArray;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.util.Arrays;

/** What a {@link ReadyProduct} takes, {@code [n, in]}, and gives, {@code [n, out]}. */
record ProductShape(Dtype dtype, long out, long in) {

    /**
     * Kernels outside the engine would read beyond tensors of another shape.
     *
     * @throws IllegalArgumentException if they have another shape or dtype
     */
    void require(NDArray x, NDArray y) {
        long[] from = Torch.shape(x);
        long[] to = Torch.shape(y);
        if (from.length != 2
                || from[1] != in
                || !Arrays.equals(to, new long[] {from[0], out})
                || Torch.dtype(x) != dtype
                || Torch.dtype(y) != dtype) {
            throw new IllegalArgumentException("expected " + dtype.torchName() + " [n, " + in + "] and [n, " + out
                    + "], got " + Torch.dtype(x).torchName() + " " + Arrays.toString(from) + " and "
                    + Torch.dtype(y).torchName() + " " + Arrays.toString(to));
        }
    }
}
