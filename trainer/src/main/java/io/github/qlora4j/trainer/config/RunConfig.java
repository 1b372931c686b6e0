package io.github.qlora4j.trainer.config;

import java.util.Objects;
import java.util.Optional;

/**
 * A whole run, checked.
 *
 * @param quantization null where the base is not quantized
 */
public record RunConfig(
        @Key("The base model.") ModelSection model,

        @Key("How the base is quantized; left out, it is not.")
        QuantizationSection quantization,

        @Key("The adapter.") LoraSection lora,
        @Key("The rows and how they become tokens.") DataSection data,
        @Key("The training loop.") TrainingSection training) {

    /** Refuses missing sections. */
    public RunConfig {
        Objects.requireNonNull(model, "model");
        Objects.requireNonNull(lora, "lora");
        Objects.requireNonNull(data, "data");
        Objects.requireNonNull(training, "training");
    }

    /** The 4-bit settings, where the base is quantized. */
    public Optional<QuantizationSection> quantized() {
        return Optional.ofNullable(quantization);
    }
}
