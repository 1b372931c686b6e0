package io.github.qlora4j.trainer.config;

/** Which biases are trained along with the adapter. */
public enum LoraBias {
    /** None. */
    NONE,
    /** Every bias of the model. */
    ALL,
    /** The biases of the layers that have an adapter. */
    LORA_ONLY
}
