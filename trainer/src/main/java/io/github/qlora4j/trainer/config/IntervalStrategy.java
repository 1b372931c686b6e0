package io.github.qlora4j.trainer.config;

/** When something is done during training. */
public enum IntervalStrategy {
    /** Never. */
    NO,
    /** Every so many steps. */
    STEPS,
    /** At the end of each epoch. */
    EPOCH
}
