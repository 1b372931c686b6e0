package io.github.qlora4j.quant;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.quant.torch.TorchScript;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A matrix in int8, a scale a row: LLM.int8() of bitsandbytes.
 *
 * <pre>{@code
 * Int8Weight weight = Int8Weight.quantize(matrix, Int8Weight.DEFAULT_THRESHOLD);
 * NDArray y = weight.product(manager, x);
 * }</pre>
 *
 * <p>{@link #product} quantizes the activations row by row and multiplies integers; columns of them with an outlier are
 * multiplied in the activations' dtype. {@link #dense} is what bitsandbytes multiplies by in training on a CPU and in
 * every backward pass. The weight owns its memory; whoever holds it closes it.
 */
public final class Int8Weight implements LinearWeight {

    /** {@code llm_int8_threshold} where nothing else is said. */
    public static final double DEFAULT_THRESHOLD = 6.0;

    /** Elements that stand in float32 at once while a matrix is worked on: few enough for a core's cache. */
    private static final long WINDOW = 1L << 17;

    private final NDManager owner;
    private final NDArray codes;
    private final NDArray scales;
    private final NDArray thresholdTensor;
    private final double threshold;

    /**
     * Takes over the manager and its tensors.
     *
     * @param codes int8 [out, in]
     * @param scales the largest absolute value of each row, float32 [out]; bitsandbytes' SCB
     */
    Int8Weight(NDManager owner, NDArray codes, NDArray scales, double threshold) {
        if (!(threshold >= 0) || Double.isInfinite(threshold)) {
            throw new IllegalArgumentException("a threshold of 0 (none) or more was expected, got " + threshold);
        }
        this.owner = owner;
        this.codes = codes;
        this.scales = scales;
        this.threshold = threshold;
        this.thresholdTensor = Torch.empty(owner, Dtype.FLOAT64);
        Torch.bytes(thresholdTensor, 0, Double.BYTES).asDoubleBuffer().put(threshold);
    }

    /**
     * Quantizes a matrix [out, in] of float32, float16 or bfloat16, cast to float16 first as bitsandbytes does.
     *
     * @param threshold from which on an element of the activations is an outlier; 0 for none
     * @throws QloraException if the dtype is another, or an element is NaN or too large for float16
     */
    public static Int8Weight quantize(NDArray matrix, double threshold) {
        long[] shape = Torch.shape(matrix);
        if (shape.length != 2 || shape[0] == 0 || shape[1] == 0) {
            throw new IllegalArgumentException("a matrix was expected, got shape " + Arrays.toString(shape));
        }
        Dtype dtype = Torch.dtype(matrix);
        if (dtype != Dtype.FLOAT32 && dtype != Dtype.FLOAT16 && dtype != Dtype.BFLOAT16) {
            throw new QloraException("dtype " + dtype.torchName()
                    + " cannot be quantized to eight bits; expected float32, float16 or bfloat16");
        }
        NDManager owner = Torch.newManager();
        try {
            NDList parts = Operators.SCRIPT.tensors(owner, "int8_rows", matrix, window(shape[1]));
            float[] largest = Torch.toFloats(parts.get(1));
            for (int row = 0; row < largest.length; row++) {
                if (!Float.isFinite(largest[row])) {
                    throw new QloraException("row " + row + " holds an element that is not finite in float16, through"
                            + " which weights are quantized to eight bits; its largest value is " + largest[row]);
                }
            }
            Int8Weight weight = new Int8Weight(owner, parts.get(0), parts.get(1), threshold);
            owner = null;
            return weight;
        } finally {
            if (owner != null) {
                owner.close();
            }
        }
    }

    private static long window(long cols) {
        return Math.max(1, WINDOW / cols);
    }

    /** From which on an element of the activations is an outlier; 0 for none. */
    public double threshold() {
        return threshold;
    }

    /** int8 [out, in], owned by this weight. */
    NDArray codes() {
        return codes;
    }

    /** The largest absolute value of each row, float32 [out], owned by this weight. */
    NDArray scales() {
        return scales;
    }

    @Override
    public long rows() {
        return codes.getShape().get(0);
    }

    @Override
    public long cols() {
        return codes.getShape().get(1);
    }

    @Override
    public long bytes() {
        return rows() * cols() + Float.BYTES * rows();
    }

    @Override
    public String scheme() {
        return "int8";
    }

    /** {@inheritDoc} Values are code × (scale × 1/127) in float32, rounded once. */
    @Override
    public NDArray dense(Dtype compute, Scratch scratch) {
        NDArray target = scratch.buffer(compute, rows(), cols());
        Operators.SCRIPT.run("int8_dense", target, codes, scales, window(cols()));
        return target;
    }

    /**
     * {@code weight}, {@code SCB}, {@code threshold} and {@code engine} (whether its integer products are right): the
     * arguments of {@code int8_product} in int8.py. Nothing is worked out.
     */
    @Override
    public Map<String, NDArray> operands(Dtype compute, Scratch scratch) {
        Map<String, NDArray> operands = new LinkedHashMap<>();
        operands.put("weight", codes);
        operands.put("SCB", scales);
        operands.put("threshold", thresholdTensor);
        operands.put("engine", Operators.ENGINE);
        return operands;
    }

    @Override
    public boolean hasOwnProduct() {
        return true;
    }

    /** {@code x [tokens, in]} times the transposed matrix, in x's dtype: {@code [tokens, out]}. */
    public NDArray product(NDManager manager, NDArray x) {
        return product(manager, x, List.of());
    }

    /** The same with a bias [out] in x's dtype. */
    public NDArray product(NDManager manager, NDArray x, NDArray bias) {
        return product(manager, x, List.of(bias));
    }

    private NDArray product(NDManager manager, NDArray x, List<NDArray> bias) {
        return Operators.SCRIPT.tensor(manager, "int8_product", x, codes, scales, bias, threshold, Operators.IS_RIGHT);
    }

    @Override
    public void close() {
        owner.close();
    }

    private static final class Operators {
        static final TorchScript SCRIPT = TorchScript.load(Int8Weight.class, "int8.py");

        /** As long as the process. */
        static final NDArray ENGINE = SCRIPT.tensor(Torch.newManager(), "int8_engine");

        static final boolean IS_RIGHT = Torch.bytes(ENGINE, 0, 1).get() != 0;
    }
}
