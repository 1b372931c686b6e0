package io.github.qlora4j.quant;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import com.google.gson.JsonObject;
import java.util.Map;

/** How a model is quantized, one matrix at a time, and what stands for it in the model's files. */
public interface MatrixQuantizer {

    /** A weight with the tensors that stand for it; closing it closes the weight. */
    record Stored(LinearWeight weight, Map<String, NDArray> tensors) implements AutoCloseable {
        @Override
        public void close() {
            weight.close();
        }
    }

    /**
     * Quantizes the matrix of a layer; the caller closes the weight.
     *
     * @throws QloraException if an element cannot be quantized
     */
    LinearWeight quantize(NDArray matrix);

    /**
     * Quantizes the matrix of a layer for a model's files.
     *
     * @param manager owns the tensors that are not the weight's own
     * @param name the full name, {@code model.layers.0.mlp.up_proj.weight}
     * @return the weight and its tensors by their names in the file, which are valid until it is closed
     * @throws QloraException if an element cannot be quantized
     */
    Stored quantize(NDManager manager, String name, NDArray matrix);

    /** Bytes that a matrix takes in the files at most, short texts and tables included. */
    long bytes(long elements, long rows);

    /** {@code quantization_config} of {@code config.json}, as transformers writes it. */
    JsonObject quantizationConfig();
}
