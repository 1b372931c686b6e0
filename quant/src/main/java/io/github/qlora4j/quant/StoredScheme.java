package io.github.qlora4j.quant;

import io.github.qlora4j.quant.safetensors.ModelDirectory;
import java.util.List;

/**
 * How a model directory that is quantized already keeps its linear layers: one class a scheme.
 *
 * <p>{@link StoredSchemes#of} finds the one that a {@code quantization_config} names.
 */
public interface StoredScheme {

    /** The scheme's name, {@code "gptq"} for instance. */
    String name();

    /** Whether a module, {@code model.layers.0.mlp.up_proj} for instance, is stored in this scheme. */
    boolean has(ModelDirectory model, String module);

    /** Whether a tensor is a part of a weight in this scheme and no parameter of the model by itself. */
    boolean isPart(ModelDirectory model, String tensor);

    /**
     * Reads a module's weight; the caller closes it.
     *
     * @throws QloraException if one of its tensors is missing, does not fit, or says what is not supported
     */
    LinearWeight read(ModelDirectory model, String module);

    /** What the configuration asks for and what is done instead, a sentence each. */
    List<String> remarks();
}
