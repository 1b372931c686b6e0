package io.github.qlora4j.peft;

/** How the matrices of a new adapter are filled (peft's {@code init_lora_weights}). */
public enum InitLoraWeights {
    /** A uniform in ±1/√in (torch's default for a linear layer), B zero: the adapter starts without effect. */
    DEFAULT,
    /** A normal with standard deviation 1/r, B zero. */
    GAUSSIAN,
    /** A and B both as a linear layer starts, so that the adapter has an effect at once; peft keeps it for debugging. */
    RANDOM
}
