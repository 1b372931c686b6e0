package io.github.qlora4j.trainer.config;

/** In which dtype an adapter is trained and saved. */
public enum AdapterDtype {
    /** bfloat16, with a float32 master copy in the optimizer state. */
    BFLOAT16,
    /** float32, as peft keeps adapters. */
    FLOAT32
}
