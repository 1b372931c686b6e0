package io.github.qlora4j.quant;

/** The 4-bit codes of bitsandbytes. */
public enum QuantType {
    /** Quantiles of a normal distribution (QLoRA, section 3). */
    NF4,
    /** A 4-bit floating-point format. */
    FP4
}
