package io.github.qlora4j.quant.safetensors;

import io.github.qlora4j.quant.torch.Dtype;
import java.util.Arrays;

/**
 * One tensor as a safetensors header describes it.
 *
 * @param name the tensor's name, such as {@code model.embed_tokens.weight}
 * @param dtype how its elements are stored
 * @param shape its lengths, outermost first; empty for a scalar; not to be changed
 * @param offset where its bytes begin, counted from the start of the file
 * @param byteLength how many bytes it has: elements times the element's size
 */
public record TensorInfo(String name, Dtype dtype, long[] shape, long offset, long byteLength) {

    /** The number of elements: the product of the shape, 1 for a scalar. */
    public long elements() {
        return byteLength / dtype.bytes();
    }

    @Override
    public String toString() {
        return name + " " + dtype.torchName() + " " + Arrays.toString(shape);
    }
}
