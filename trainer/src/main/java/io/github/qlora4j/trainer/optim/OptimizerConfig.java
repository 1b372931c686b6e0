package io.github.qlora4j.trainer.optim;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.trainer.config.OptimizerName;
import java.nio.file.Path;

/**
 * Which optimizer, and its constants; names and defaults as in TrainingArguments.
 *
 * @param name the algorithm
 * @param beta1 decay of the first moment, in [0, 1)
 * @param beta2 decay of the second moment, in [0, 1)
 * @param eps added to the denominator, at least 0
 * @param weightDecay decoupled weight decay, at least 0
 * @param residentBytes memory that the pages of a paged optimizer may hold at once
 * @param pageDirectory where a paged optimizer keeps its file while it is open; null is the system's temporary directory
 */
public record OptimizerConfig(
        OptimizerName name,
        double beta1,
        double beta2,
        double eps,
        double weightDecay,
        long residentBytes,
        Path pageDirectory) {

    /** The bound on resident pages where none is given: 64 MiB. */
    public static final long DEFAULT_RESIDENT_BYTES = 64L << 20;

    /** Parameters with fewer elements keep 32-bit state, even in the 8-bit optimizers; bitsandbytes' min_8bit_size. */
    public static final int MIN_8BIT_SIZE = 4096;

    /** Elements that share one absmax of 8-bit state. */
    public static final int BLOCKSIZE = 256;

    /** Checks the ranges. */
    public OptimizerConfig {
        check(beta1 >= 0 && beta1 < 1, "adam_beta1 must be in [0, 1)", beta1);
        check(beta2 >= 0 && beta2 < 1, "adam_beta2 must be in [0, 1)", beta2);
        check(eps >= 0 && Double.isFinite(eps), "adam_epsilon must be a number >= 0", eps);
        check(weightDecay >= 0 && Double.isFinite(weightDecay), "weight_decay must be a number >= 0", weightDecay);
        if (residentBytes <= 0) {
            throw new QloraException("paged_resident must be above 0 bytes, got " + residentBytes);
        }
    }

    /** The optimizer with TrainingArguments' defaults: betas 0.9 and 0.999, eps 1e-8, no weight decay. */
    public static OptimizerConfig of(OptimizerName name) {
        return new OptimizerConfig(name, 0.9, 0.999, 1e-8, 0.0, DEFAULT_RESIDENT_BYTES, null);
    }

    /** The same with another weight decay. */
    public OptimizerConfig withWeightDecay(double value) {
        return new OptimizerConfig(name, beta1, beta2, eps, value, residentBytes, pageDirectory);
    }

    /** The same with other betas. */
    public OptimizerConfig withBetas(double first, double second) {
        return new OptimizerConfig(name, first, second, eps, weightDecay, residentBytes, pageDirectory);
    }

    /** The same with another epsilon. */
    public OptimizerConfig withEps(double value) {
        return new OptimizerConfig(name, beta1, beta2, value, weightDecay, residentBytes, pageDirectory);
    }

    /** The same with pages in another directory, under another bound. */
    public OptimizerConfig withPages(Path directory, long bytes) {
        return new OptimizerConfig(name, beta1, beta2, eps, weightDecay, bytes, directory);
    }

    /**
     * Bytes of state that a parameter has, for memory plans; paged or not.
     *
     * @param elements of the parameter
     * @param dtype of the parameter: all but float32 have a float32 master copy
     */
    public long stateBytes(long elements, Dtype dtype) {
        long master = dtype == Dtype.FLOAT32 ? 0 : 4 * elements;
        if (eightBit(elements)) {
            return 2 * elements + 8 * ((elements + BLOCKSIZE - 1) / BLOCKSIZE) + master;
        }
        return 8 * elements + master;
    }

    /** Whether a parameter of this size has 8-bit state. */
    boolean eightBit(long elements) {
        return name.eightBit() && elements >= MIN_8BIT_SIZE;
    }

    private static void check(boolean ok, String expected, double got) {
        if (!ok) {
            throw new QloraException(expected + ", got " + got);
        }
    }
}
