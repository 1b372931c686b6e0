package io.github.qlora4j.quant;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;

/** A weight that is kept as it is, in a floating-point dtype. */
public final class DenseWeight implements LinearWeight {

    private final NDArray weight;
    private final Dtype dtype;
    private final NDManager owner;

    /** Takes over a matrix {@code [out, in]}: closing this closes it. */
    public DenseWeight(NDArray weight) {
        this(weight, null);
    }

    private DenseWeight(NDArray weight, NDManager owner) {
        this.weight = weight;
        this.owner = owner;
        this.dtype = Torch.dtype(weight);
        if (weight.getShape().dimension() != 2 || !dtype.isFloating()) {
            throw new IllegalArgumentException(
                    "expected a floating-point matrix, got " + dtype.torchName() + " " + weight.getShape());
        }
    }

    /** Takes over the matrix's manager too. */
    public static DenseWeight owning(NDManager owner, NDArray weight) {
        return new DenseWeight(weight, owner);
    }

    /** The dtype that it is kept in. */
    public Dtype dtype() {
        return dtype;
    }

    @Override
    public long rows() {
        return weight.getShape().get(0);
    }

    @Override
    public long cols() {
        return weight.getShape().get(1);
    }

    @Override
    public long bytes() {
        return Torch.byteSize(weight);
    }

    @Override
    public String scheme() {
        return dtype.torchName();
    }

    @Override
    public NDArray dense(Dtype compute, Scratch scratch) {
        if (compute == dtype) {
            return weight;
        }
        NDArray buffer = scratch.buffer(compute, rows(), cols());
        Torch.assign(buffer, weight);
        return buffer;
    }

    @Override
    public void close() {
        weight.close();
        if (owner != null) {
            owner.close();
        }
    }
}
