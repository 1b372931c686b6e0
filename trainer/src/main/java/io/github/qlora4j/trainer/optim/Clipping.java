package io.github.qlora4j.trainer.optim;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.torch.Torch;
import java.util.List;

/**
 * Clips gradients to a global norm, as {@code torch.nn.utils.clip_grad_norm_} does.
 *
 * <p>The norm is the norm of the gradients' own norms; all are multiplied by min(1, max_norm / (norm + 1e-6)). Source:
 * {@code torch/nn/utils/clip_grad.py}.
 *
 * @param maxNorm the largest norm let through; 0 is off, as in TrainingArguments
 */
public record Clipping(double maxNorm) {

    /** Checks the range. */
    public Clipping {
        if (!(maxNorm >= 0)) {
            throw new QloraException("max_grad_norm must be >= 0, got " + maxNorm);
        }
    }

    /**
     * Clips in place.
     *
     * @param parameters what the gradients belong to, for the message
     * @param gradients float32, one a parameter, in the parameters' order
     * @return the norm before clipping
     * @throws NonFiniteGradientException if the norm is not a finite number; the gradients are then unchanged
     */
    public double apply(List<Parameter> parameters, List<NDArray> gradients) {
        if (gradients.size() != parameters.size()) {
            throw new IllegalArgumentException("expected " + parameters.size() + " gradients, got " + gradients.size());
        }
        if (gradients.isEmpty()) {
            return 0;
        }
        try (NDManager scratch = Torch.newManager()) {
            NDArray norms = Updates.SCRIPT.tensor(scratch, "norms", gradients);
            float[] values = Torch.toFloats(norms);
            float total = values[values.length - 1];
            if (!Float.isFinite(total)) {
                throw nonFinite(parameters, values, total);
            }
            if (maxNorm > 0) {
                Updates.SCRIPT.run("scale", gradients, norms, maxNorm);
            }
            return total;
        }
    }

    private static NonFiniteGradientException nonFinite(List<Parameter> parameters, float[] norms, float total) {
        for (int i = 0; i < parameters.size(); i++) {
            if (!Float.isFinite(norms[i])) {
                return new NonFiniteGradientException(parameters.get(i).name(), norms[i]);
            }
        }
        return new NonFiniteGradientException("all parameters together", total);
    }
}
