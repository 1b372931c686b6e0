package io.github.qlora4j.quant;

import ai.djl.engine.EngineException;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.quant.torch.TorchScript;
import java.util.List;

/** Weights worked out, one behind another; in bfloat16 in the layout that oneDNN reads fastest, where the CPU has one. */
final class DenseProduct implements ReadyProduct {

    private final NDManager owner = Torch.newManager();
    private final ProductShape shape;
    private final boolean packed;
    private final NDArray weight;

    DenseProduct(List<? extends LinearWeight> weights, Dtype compute) {
        long rows = weights.stream().mapToLong(LinearWeight::rows).sum();
        long cols = weights.get(0).cols();
        this.shape = new ProductShape(compute, rows, cols);
        this.packed = compute == Dtype.BFLOAT16 && packsBfloat16();
        try (NDManager work = Torch.newManager();
                Scratch scratch = new Scratch()) {
            NDArray all = Torch.empty(packed ? work : owner, compute, rows, cols);
            long first = 0;
            for (LinearWeight one : weights) {
                if (one.cols() != cols) {
                    throw new IllegalArgumentException("inputs: " + one.cols() + " beside " + cols);
                }
                Operators.SCRIPT.run("put_rows", all, first, one.dense(compute, scratch));
                first += one.rows();
            }
            this.weight = packed ? Operators.SCRIPT.tensor(owner, "packed", all) : all;
        }
    }

    static boolean packsBfloat16() {
        return Operators.PACKS;
    }

    @Override
    public Runnable between(NDArray x, NDArray y) {
        shape.require(x, y);
        String function = packed ? "packed_product" : "product";
        return () -> Operators.SCRIPT.run(function, y, x, weight);
    }

    @Override
    public Dtype dtype() {
        return shape.dtype();
    }

    @Override
    public int mostRows() {
        return Integer.MAX_VALUE;
    }

    @Override
    public long bytes() {
        return shape.out() * shape.in() * shape.dtype().bytes();
    }

    @Override
    public void close() {
        owner.close();
    }

    /** Compiled at its first use. */
    private static final class Operators {

        static final TorchScript SCRIPT = TorchScript.load(DenseProduct.class, "products.py");
        static final boolean PACKS = packs();

        private static boolean packs() {
            try (NDManager scratch = Torch.newManager()) {
                SCRIPT.tensor(scratch, "packed", Torch.zeros(scratch, Dtype.BFLOAT16, 32, 32));
                return true;
            } catch (EngineException e) {
                // oneDNN has no bfloat16 products for this CPU
                return false;
            }
        }
    }
}
