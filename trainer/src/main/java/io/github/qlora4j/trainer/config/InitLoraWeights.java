package io.github.qlora4j.trainer.config;

/** How the adapter matrix A starts; B starts at zero. */
public enum InitLoraWeights {
    /** Kaiming-uniform, as peft's {@code true}. */
    TRUE,
    /** Normal, with standard deviation 1 / r. */
    GAUSSIAN
}
