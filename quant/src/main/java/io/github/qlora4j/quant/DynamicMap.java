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

    private static final int EXPONENT_BITS = 7;

    /** Python's 10 ** -k; a table, as Math.pow may differ in the last bit. */
    private static final float[] SCALES = {1f, 1e-1f, 1e-2f, 1e-3f, 1e-4f, 1e-5f, 1e-6f};

    /** For values of both signs: absmax around its mean, Adam's first moment. */
    public static final DynamicMap SIGNED = new DynamicMap(create(true, EXPONENT_BITS, 8));

    /** For values from 0 up: Adam's second moment. */
    public static final DynamicMap UNSIGNED = new DynamicMap(create(false, EXPONENT_BITS, 8));

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

    /**
     * The numbers of {@code create_dynamic_map} for other widths: ascending, 2^totalBits of them.
     *
     * @param maxExponentBits the most bits of the exponent, less than {@code totalBits}; without signs one less
     * @param totalBits 2 to 8
     * @throws QloraException if there is no such map
     */
    public static float[] create(boolean signed, int maxExponentBits, int totalBits) {
        int least = signed ? 1 : totalBits - 1; // bitsandbytes' own count does not come out below it
        if (totalBits < 2 || totalBits > 8 || maxExponentBits < least || maxExponentBits >= totalBits) {
            throw new QloraException("a dynamic map of " + totalBits + " bits, " + maxExponentBits
                    + " of them the exponent's: expected 2 to 8 bits, and " + least + " to " + (totalBits - 1));
        }
        try (NDManager manager = Torch.newManager()) {
            return create(
                    signed, maxExponentBits, totalBits, TorchScript.load(DynamicMap.class, "weights.py"), manager);
        }
    }

    private static float[] create(
            boolean signed, int maxExponentBits, int totalBits, TorchScript script, NDManager manager) {
        float[] values = new float[1 << totalBits];
        int fractionBits = totalBits - 1 - maxExponentBits;
        int count = 0;
        for (int i = 0; i <= maxExponentBits; i++) {
            // the last round is what is left where the exponent does not take all bits
            int items = i == maxExponentBits ? (1 << fractionBits) - 1 : 1 << i + fractionBits + (signed ? 0 : 1);
            float scale = SCALES[Math.max(0, maxExponentBits - 1 - i)];
            float[] boundaries = linspace(script, manager, items + 1);
            for (int k = 0; k < items; k++) {
                float mean = (boundaries[k] + boundaries[k + 1]) / 2.0f;
                values[count++] = scale * mean;
                if (signed) {
                    values[count++] = -(scale * mean);
                }
            }
        }
        // and 0, which the array holds already
        values[count + 1] = 1;
        Arrays.sort(values);
        return values;
    }

    /** torch's own linspace(0.1, 1, n): its last bits depend on the width of the CPU's vectors. */
    private static float[] linspace(TorchScript script, NDManager manager, int n) {
        return Torch.toFloats(script.tensor(manager, "linspace", n));
    }
}
