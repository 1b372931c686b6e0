package io.github.qlora4j.trainer.config;

/** A floating-point format, or the choice left to the program. */
public enum Precision {
    /** config.json's for the model; for the products, what the machine is fast at. */
    AUTO,
    /** 32 bits. */
    FLOAT32,
    /** 16 bits with float32's exponent. */
    BFLOAT16,
    /** 16 bits, IEEE half. */
    FLOAT16
}
