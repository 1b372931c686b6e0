package io.github.qlora4j.quant;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.quant.torch.TorchScript;
import java.util.List;

/**
 * What AWQ looks for before it quantizes: by how much to scale each input of layers, so that weights that meet large
 * activations keep more of themselves, and where to clip weights. As autoawq 0.2.9 does, with its defaults.
 *
 * <p>Weights are {@code [out, in]} and inputs {@code [tokens, in]}, of one floating-point dtype; results belong to the
 * manager given.
 */
public final class AwqSearch {

    /** Ratios between activations and weights that are tried. */
    private static final int GRID = 20;

    /** Bytes that one sum of inputs spans. */
    private static final long CHUNK_BYTES = 1L << 30;

    /** Outputs whose products with the inputs stand in memory at once. */
    private static final int OUT_CHUNK = 256;

    private final AwqConfig config;

    /** For groups of so many inputs; −1 for all of a row. */
    public AwqSearch(AwqConfig config) {
        this.config = config;
    }

    /** The module whose results should change least, computed with other weights for some of its layers. */
    public interface Module {
        /** Its result; the manager owns it. */
        NDArray apply(NDManager manager, List<NDArray> weights);
    }

    /**
     * The scales {@code [in]} of the inputs that some layers share: the layers' weights are to be multiplied by them, and
     * what makes the inputs divided.
     *
     * @param weights of the layers
     * @param inputs theirs, in calibration
     * @param module computes with the layers' weights, from the calibration's inputs
     */
    public NDArray scales(NDManager manager, List<NDArray> weights, NDArray inputs, Module module) {
        long in = inputs.getShape().get(1);
        long group = group(in);
        TorchScript script = Operators.SCRIPT;
        try (NDManager search = Torch.newManager()) {
            NDArray weightMeans = script.tensor(search, "weight_means", weights, group);
            // twice the size: autoawq counts the float32 copy
            long chunk = Math.max(1, CHUNK_BYTES / (2L * Torch.dtype(inputs).bytes() * in));
            NDArray inputMeans = script.tensor(search, "input_means", inputs, chunk);
            NDArray wanted = module.apply(search, weights);
            NDArray best = null;
            double least = Double.POSITIVE_INFINITY;
            for (int i = 0; i < GRID; i++) {
                try (NDManager trial = search.newSubManager()) {
                    NDArray scales = script.tensor(trial, "candidate", inputMeans, weightMeans, (double) i / GRID);
                    List<NDArray> changed = weights.stream()
                            .map(w -> script.tensor(trial, "scaled_and_quantized", w, scales, group))
                            .toList();
                    double loss = script.number("loss", wanted, module.apply(trial, changed));
                    if (loss < least) {
                        least = loss;
                        best = scales;
                        scales.attach(search);
                    }
                }
            }
            if (best == null) {
                throw new QloraException(
                        "no scales make the layers' results numbers: a weight or an input is NaN or" + " infinite");
            }
            best.attach(manager);
            return best;
        }
    }

    /** A matrix whose groups are clipped where that changes its products with the inputs least. */
    public NDArray clipped(NDManager manager, NDArray weight, NDArray inputs) {
        try (NDArray most = clip(manager, weight, inputs)) {
            return Operators.SCRIPT.tensor(manager, "clipped", weight, most);
        }
    }

    /** The largest absolute values {@code [out, groups, 1]}. */
    NDArray clip(NDManager manager, NDArray weight, NDArray inputs) {
        return Operators.SCRIPT.tensor(
                manager, "clip", weight, inputs, group(weight.getShape().get(1)), OUT_CHUNK);
    }

    /** A matrix multiplied by the scales of its inputs. */
    public static NDArray scaleInputs(NDManager manager, NDArray weight, NDArray scales) {
        return Operators.SCRIPT.tensor(manager, "times_inputs", weight, scales);
    }

    /** Inputs divided by their scales. */
    public static NDArray unscaleInputs(NDManager manager, NDArray inputs, NDArray scales) {
        return Operators.SCRIPT.tensor(manager, "divided_inputs", inputs, scales);
    }

    /** A norm's weight, a bias or a matrix whose results are divided by scales. */
    public static NDArray unscaleResults(NDManager manager, NDArray weight, NDArray scales) {
        return Operators.SCRIPT.tensor(manager, "divided_results", weight, scales);
    }

    /** Quantizes a matrix in float16, as autoawq's last step does; the caller closes the result. */
    static AwqWeight quantize(NDArray weight, AwqConfig config) {
        long in = weight.getShape().get(1);
        long group = config.wholeSize(in);
        NDManager owner = Torch.newManager();
        try (NDManager temporary = Torch.newManager()) {
            NDArray half = Torch.cast(temporary, weight, Dtype.FLOAT16);
            List<NDArray> found = Operators.SCRIPT.tensors(temporary, "quantize", half, group);
            for (float scale : Torch.toFloats(found.get(2))) {
                if (!Float.isFinite(scale)) {
                    throw new QloraException(
                            "a weight is NaN, infinite or too large for float16; it cannot be quantized");
                }
            }
            NDArray scales = Torch.copy(owner, found.get(2));
            NDArray zeros = Torch.copy(owner, found.get(3));
            NDArray codes = GroupedCodes.pack(owner, found.get(1), AwqWeight.BITS, null);
            AwqWeight result = new AwqWeight(
                    new GroupedCodes(owner, AwqWeight.BITS, codes, scales, zeros, AwqCheckpoint.groupOf(in, group)));
            owner = null;
            return result;
        } finally {
            if (owner != null) {
                owner.close();
            }
        }
    }

    private long group(long in) {
        return config.wholeSize(in);
    }

    private static final class Operators {
        static final TorchScript SCRIPT = TorchScript.load(AwqSearch.class, "awq.py");
    }
}
