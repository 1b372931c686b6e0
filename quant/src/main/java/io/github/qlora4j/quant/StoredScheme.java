package io.github.qlora4j.quant;

import io.github.qlora4j.quant.safetensors.ModelDirectory;
import java.util.List;
import java.util.Optional;

/**
 * How a model directory that is quantized already keeps its linear layers: one class a scheme.
 *
 * <p>{@link StoredSchemes#of} finds the one that a {@code quantization_config} names; {@link BitsAndBytesCheckpoint} reads
 * what bitsandbytes stored, which the tensors themselves tell.
 */
public interface StoredScheme {

    /** The scheme's name, {@code "gptq"} for instance. */
    String name();

    /** Whether a module, {@code model.layers.0.mlp.up_proj} for instance, is stored in this scheme. */
    boolean has(ModelDirectory model, String module);

    /** The module whose weight a tensor is a part of; empty where it is a parameter of the model by itself. */
    Optional<String> moduleOf(ModelDirectory model, String tensor);

    /** Whether a directory holds any weight in this scheme. */
    default boolean isIn(ModelDirectory model) {
        return model.names().stream().anyMatch(name -> moduleOf(model, name).isPresent());
    }

    /**
     * Reads a module's weight; the caller closes it.
     *
     * @throws QloraException if one of its tensors is missing, does not fit, or says what is not supported
     */
    LinearWeight read(ModelDirectory model, String module);

    /** What a module's weight {@code [out, in]} takes, by the settings alone; empty where they do not tell. */
    Optional<WeightBytes> bytes(long out, long in);

    /** What the configuration asks for and what is done instead, a sentence each. */
    List<String> remarks();
}
