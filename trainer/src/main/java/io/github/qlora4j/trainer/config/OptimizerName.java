package io.github.qlora4j.trainer.config;

/** The optimizers. */
public enum OptimizerName {
    /** AdamW with 32-bit state. */
    @Spelled("adamw_torch_fused")
    ADAMW_TORCH,
    /** AdamW with 32-bit state in pages that leave memory between updates. */
    @Spelled("paged_adamw")
    PAGED_ADAMW_32BIT,
    /** AdamW with block-wise 8-bit state. */
    @Spelled("adamw_bnb_8bit")
    ADAMW_8BIT,
    /** AdamW with block-wise 8-bit state in pages that leave memory between updates. */
    PAGED_ADAMW_8BIT;

    /** The moments are kept in 8 bits. */
    public boolean eightBit() {
        return this == ADAMW_8BIT || this == PAGED_ADAMW_8BIT;
    }

    /** The state lives in pages of host memory that are brought in for an update. */
    public boolean paged() {
        return this == PAGED_ADAMW_32BIT || this == PAGED_ADAMW_8BIT;
    }
}
