package io.github.qlora4j.quant.scheme;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;

/**
 * A tensor of a model that went through a scheme and back.
 *
 * @param original its elements
 * @param shape its lengths
 * @param back what is left of them
 * @param bits what keeping them takes
 */
public record RoundTrip(float[] original, long[] shape, float[] back, long bits) {

    /**
     * Sends a tensor of a model through a scheme.
     *
     * @throws QloraException if it holds no floating-point numbers, or one that is not finite; it is named
     */
    public static RoundTrip of(Scheme scheme, ModelDirectory source, String name) {
        Dtype dtype = source.info(name).dtype();
        try (NDManager manager = Torch.newManager()) {
            if (!dtype.isFloating()) {
                throw new QloraException("dtype " + dtype.torchName() + "; a floating-point tensor was expected");
            }
            float[] original = Torch.toFloats(source.read(manager, name));
            long[] shape = source.info(name).shape();
            Quantized quantized = scheme.quantize(original, shape);
            return new RoundTrip(original, shape, quantized.dequantize(), quantized.bits());
        } catch (QloraException e) {
            throw new QloraException(source.fileOf(name) + ": tensor " + name + ": " + e.getMessage(), e);
        }
    }

    /** What was lost. */
    public Fidelity fidelity() {
        return Fidelity.of(original, back, bits);
    }

    /** What is left, rounded to a dtype; the manager owns it. */
    public NDArray restored(NDManager manager, Dtype dtype) {
        NDArray floats = Torch.ofFloats(manager, back, shape);
        return dtype == Dtype.FLOAT32 ? floats : Torch.cast(manager, floats, dtype);
    }
}
