package io.github.qlora4j.peft;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.nio.FloatBuffer;

/** Fills new matrices as {@code reset_lora_parameters} of peft does. */
final class NewWeights {

    private static final long WINDOW = 1L << 24;

    private NewWeights() {}

    static LoraWeights of(NDManager manager, Target target, InitLoraWeights init, Dtype dtype, long seed) {
        long rows = target.module().rows();
        long cols = target.module().cols();
        int r = target.r();
        // kaiming_uniform with a = √5: bound = √(6 / (1 + 5) / in) = 1/√in
        Fill fillA = init == InitLoraWeights.GAUSSIAN
                ? (random, buffer, first) -> random.normal(buffer, first, 1.0 / r)
                : (random, buffer, first) -> random.uniform(buffer, first, 1 / Math.sqrt(cols));
        NDArray a = filled(manager, dtype, new LoraRandom(seed, target.name() + ".lora_A"), fillA, r, cols);
        NDArray b = init == InitLoraWeights.RANDOM
                ? filled(
                        manager,
                        dtype,
                        new LoraRandom(seed, target.name() + ".lora_B"),
                        (random, buffer, first) -> random.uniform(buffer, first, 1 / Math.sqrt(r)),
                        rows,
                        r)
                : Torch.zeros(manager, dtype, rows, r);
        return new LoraWeights(target.name(), r, a, b, target.scaling());
    }

    private interface Fill {
        void into(LoraRandom random, FloatBuffer buffer, long first);
    }

    private static NDArray filled(NDManager manager, Dtype dtype, LoraRandom random, Fill fill, long rows, long cols) {
        NDArray floats = Torch.empty(manager, Dtype.FLOAT32, rows, cols);
        long elements = rows * cols;
        for (long first = 0; first < elements; first += WINDOW) {
            long count = Math.min(WINDOW, elements - first);
            fill.into(random, Torch.bytes(floats, 4 * first, 4 * count).asFloatBuffer(), first);
        }
        if (dtype == Dtype.FLOAT32) {
            return floats;
        }
        try (floats) {
            return Torch.cast(manager, floats, dtype);
        }
    }
}
