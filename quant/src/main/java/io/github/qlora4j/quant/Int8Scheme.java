package io.github.qlora4j.quant;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import com.google.gson.JsonObject;

/**
 * LLM.int8(): {@code --method bnb-8bit}.
 *
 * @param threshold from which on an element of the activations is an outlier, for {@code config.json}; 0 for none
 */
public record Int8Scheme(double threshold) implements MatrixQuantizer {

    @Override
    public Int8Weight quantize(NDArray matrix) {
        return Int8Weight.quantize(matrix, threshold);
    }

    @Override
    public Stored quantize(NDManager manager, String name, NDArray matrix) {
        Int8Weight weight = quantize(matrix);
        return new Stored(weight, Int8Checkpoint.tensors(manager, name, weight));
    }

    @Override
    public long bytes(long elements, long rows) {
        return elements + Float.BYTES * rows + 1;
    }

    @Override
    public JsonObject quantizationConfig() {
        return Int8Checkpoint.quantizationConfig(threshold);
    }
}
