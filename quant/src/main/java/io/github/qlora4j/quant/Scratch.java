package io.github.qlora4j.quant;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.util.Arrays;

/**
 * One buffer that is used again and again for a weight worked out just before its use.
 *
 * <p>The tensor stays the same, at the same address, while dtype and shape do: a graph that has saved it finds the
 * weight again once it is worked out again. Not for several threads at a time. The owner closes it.
 */
public final class Scratch implements AutoCloseable {

    private NDManager manager;
    private NDArray buffer;
    private Dtype dtype;
    private long[] shape;
    private NDManager scalesManager;
    private NDArray scales;

    /** A tensor of this dtype and shape with whatever the last use left in it. */
    public NDArray buffer(Dtype dtype, long... shape) {
        if (buffer == null || dtype != this.dtype || !Arrays.equals(shape, this.shape)) {
            closeBuffer();
            manager = Torch.newManager();
            buffer = Torch.empty(manager, dtype, shape);
            this.dtype = dtype;
            this.shape = shape.clone();
        }
        return buffer;
    }

    /** At least so many float32 for the scales of {@link #buffer}'s blocks; the next use overwrites them. */
    NDArray scales(long elements) {
        if (scales == null || scales.getShape().size() < elements) {
            closeScales();
            scalesManager = Torch.newManager();
            scales = Torch.empty(scalesManager, Dtype.FLOAT32, elements);
        }
        return scales;
    }

    private void closeScales() {
        if (scalesManager != null) {
            scalesManager.close();
            scalesManager = null;
            scales = null;
        }
    }

    private void closeBuffer() {
        if (manager != null) {
            manager.close();
            manager = null;
            buffer = null;
        }
    }

    @Override
    public void close() {
        closeBuffer();
        closeScales();
    }
}
