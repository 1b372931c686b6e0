package io.github.qlora4j.quant;

import ai.djl.engine.EngineException;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.quant.torch.TorchScript;
import java.util.Arrays;

/**
 * Quantizes one linear layer by GPTQ: first its inputs are seen, then its weight is quantized a column at a time, and
 * what a column loses is made good in those after it.
 *
 * <pre>{@code
 * try (GptqSolver solver = new GptqSolver(weight.cols())) {
 *     solver.add(inputs, rows);                                // for each batch of calibration texts
 *     GptqWeight quantized = solver.solve(matrix, GptqConfig.DEFAULT, Dtype.FLOAT16);
 * }
 * }</pre>
 *
 * <p>It computes in float32, to the codes that auto-gptq 0.7.1 finds from the same Hessian. Memory: the Hessian {@code [in,
 * in]} in float32, four times that while solving, and three times the matrix in float32. The owner closes it.
 */
public final class GptqSolver implements AutoCloseable {

    /** Columns after which the rest of the matrix is made up for their errors. */
    static final int BLOCKSIZE = 128;

    private final NDManager manager = Torch.newManager();
    private final long inputs;
    private final NDArray hessian;
    private long samples;
    private double loss;

    /** A layer of so many inputs that has seen none yet. */
    public GptqSolver(long inputs) {
        this.inputs = inputs;
        hessian = Torch.zeros(manager, Dtype.FLOAT32, inputs, inputs);
    }

    /**
     * Takes in inputs of the layer; they stay the caller's.
     *
     * @param x {@code [tokens, inputs]}, any floating-point dtype
     * @param rows texts that the tokens come from: the Hessian is a mean over texts
     */
    public void add(NDArray x, int rows) {
        long[] shape = Torch.shape(x);
        if (shape.length != 2 || shape[1] != inputs || rows < 1) {
            throw new IllegalArgumentException("inputs [tokens, " + inputs + "] of one text or more were expected, got "
                    + Arrays.toString(shape) + " of " + rows);
        }
        Operators.SCRIPT.run("add_batch", hessian, x, samples, rows);
        samples += rows;
    }

    /** The Hessian so far, {@code [inputs, inputs]}; it stays this object's. */
    NDArray hessian() {
        return hessian;
    }

    /**
     * Quantizes the matrix of a layer with these inputs; of several layers with the same ones, one after the other.
     *
     * @param weight {@code [out, inputs]}, which stays the caller's
     * @param scales the dtype that scales are kept in; float16 is what checkpoints have
     * @return the caller's to close
     * @throws QloraException if no inputs were seen, or they or the matrix hold what cannot be quantized
     */
    public GptqWeight solve(NDArray weight, GptqConfig config, Dtype scales) {
        if (samples == 0) {
            throw new IllegalStateException("no inputs were seen");
        }
        NDManager owner = Torch.newManager();
        try (NDManager temporary = Torch.newManager()) {
            NDList found = Operators.SCRIPT.tensors(
                    temporary,
                    "solve",
                    weight,
                    Torch.copy(temporary, hessian),
                    (1 << config.bits()) - 1,
                    config.groupSize(),
                    config.sym(),
                    config.descAct(),
                    config.staticGroups() && config.groupSize() > 0,
                    config.dampPercent(),
                    BLOCKSIZE);
            checkFinite(found.get(1));
            int[] groupOf = new int[Math.toIntExact(inputs)];
            Torch.bytes(found.get(3), 0, 4L * inputs).asIntBuffer().get(groupOf);
            NDArray codes = GroupedCodes.pack(owner, found.get(0), config.bits(), GroupedCodes.order(groupOf));
            GptqWeight result = new GptqWeight(new GroupedCodes(
                    owner,
                    config.bits(),
                    codes,
                    Torch.cast(owner, found.get(1), scales),
                    Torch.cast(owner, found.get(2), Dtype.UINT8),
                    groupOf));
            loss = found.get(4).getDouble();
            owner = null;
            return result;
        } catch (EngineException e) {
            throw new QloraException(
                    "the Hessian of the layer's inputs cannot be inverted: " + reason(e)
                            + "\n  More calibration texts" + " or a larger damp_percent than " + config.dampPercent()
                            + " may help.",
                    e);
        } finally {
            if (owner != null) {
                owner.close();
            }
        }
    }

    private static void checkFinite(NDArray scales) {
        for (float scale : Torch.toFloats(scales)) {
            if (!Float.isFinite(scale)) {
                throw new QloraException(
                        "a weight or an input of the layer is NaN or infinite; it cannot be quantized");
            }
        }
    }

    /** The engine's own words stand last, behind where in the operators it was. */
    private static String reason(EngineException e) {
        return String.valueOf(e.getMessage())
                .lines()
                .filter(line -> line.startsWith("RuntimeError: "))
                .reduce((first, last) -> last)
                .map(line -> line.substring("RuntimeError: ".length()))
                .orElse("it is not positive definite");
    }

    /** The squared error that the last matrix was left with, weighed by the Hessian. */
    public double loss() {
        return loss;
    }

    @Override
    public void close() {
        manager.close();
    }

    private static final class Operators {
        static final TorchScript SCRIPT = TorchScript.load(GptqSolver.class, "gptq.py");
    }
}
