package io.github.qlora4j.quant.safetensors;

import io.github.qlora4j.quant.torch.Dtype;

/**
 * A tensor that is going to be written.
 *
 * @param name the tensor's name; unique in its file, not {@code __metadata__}
 * @param dtype how its elements are stored
 * @param shape its lengths, outermost first; none for a scalar
 */
public record TensorSpec(String name, Dtype dtype, long... shape) {

    /** Checks that the shape can be counted; throws {@link IllegalArgumentException} where it cannot. */
    public TensorSpec {
        try {
            Math.multiplyExact(product(shape), dtype.bytes());
        } catch (ArithmeticException e) {
            throw new IllegalArgumentException(name + ": the shape has too many elements", e);
        }
    }

    /** The bytes that the tensor takes. */
    public long byteLength() {
        return product(shape) * dtype.bytes();
    }

    /** The product of a shape; throws {@link ArithmeticException} where it overflows or a length is negative. */
    static long product(long[] shape) {
        long product = 1;
        for (long length : shape) {
            if (length < 0) {
                throw new ArithmeticException("negative length");
            }
            product = Math.multiplyExact(product, length);
        }
        return product;
    }
}
