package io.github.qlora4j.quant;

import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.quant.torch.TorchScript;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/**
 * The 256 numbers of 8-bit block-wise quantization: an exponent of changing length and a linear fraction.
 *
 * <p>"8-bit Optimizers via Block-wise Quantization" (arXiv:2110.02861), section 1.3; computed here as {@code
 * create_dynamic_map} of bitsandbytes 0.50.2 does, to the bit.
 */
public final class DynamicMap {

    /** For values of both signs: absmax around its mean, Adam's first moment. */
    public static final DynamicMap SIGNED = new DynamicMap(create(true));

    /** For values from 0 up: Adam's second moment. */
    public static final DynamicMap UNSIGNED = new DynamicMap(create(false));

    private static final int EXPONENT_BITS = 7;

    private final float[] values;
    private final ByteBuffer memory;

    private DynamicMap(float[] values) {
        this.values = values;
        // Kept for the whole JVM: bitsandbytes caches a table by this address.
        memory = ByteBuffer.allocateDirect(values.length * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        memory.asFloatBuffer().put(values);
    }

    /** The map of a checkpoint, whose last bits may be another machine's; it is used to dequantize. */
    static DynamicMap of(float[] values) {
        return Arrays.equals(values, SIGNED.values) ? SIGNED : new DynamicMap(values.clone());
    }

    /** The 256 numbers, ascending; a copy. */
    public float[] values() {
        return values.clone();
    }

    /** The same array each time; not to be written to. */
    float[] shared() {
        return values;
    }

    /** The numbers in memory for native code. */
    ByteBuffer memory() {
        return memory;
    }

    private static float[] create(boolean signed) {
        try (NDManager manager = Torch.newManager()) {
            return create(signed, TorchScript.load(DynamicMap.class, "weights.py"), manager);
        }
    }

    private static float[] create(boolean signed, TorchScript script, NDManager manager) {
        double[] data = new double[256];
        int count = 0;
        for (int i = 0; i < EXPONENT_BITS; i++) {
            int items = (1 << (signed ? i : i + 1)) + 1;
            float[] boundaries = linspace(script, manager, items);
            // Python's 10 ** -k; a table, as Math.pow may differ in the last bit.
            double scale = new double[] {1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1}[i];
            for (int k = 0; k + 1 < items; k++) {
                float mean = (boundaries[k] + boundaries[k + 1]) / 2.0f;
                float value = (float) scale * mean;
                data[count++] = value;
                if (signed) {
                    data[count++] = -value;
                }
            }
        }
        data[count++] = 0;
        data[count++] = 1;
        float[] values = new float[256];
        for (int i = 0; i < count; i++) {
            values[i] = (float) data[i];
        }
        Arrays.sort(values);
        return values;
    }

    /** torch's own linspace(0.1, 1, n): its last bits depend on the width of the CPU's vectors. */
    private static float[] linspace(TorchScript script, NDManager manager, int n) {
        return Torch.toFloats(script.tensor(manager, "linspace", n));
    }
}
