package io.github.qlora4j.trainer.config;

/** Whether a layer's activations are kept for the backward pass or computed again. */
public enum GradientCheckpointing {
    /** Every layer is computed again. */
    TRUE,
    /** Everything is kept. */
    FALSE,
    /** Only as many layers are computed again as the memory budget asks for. */
    AUTO
}
