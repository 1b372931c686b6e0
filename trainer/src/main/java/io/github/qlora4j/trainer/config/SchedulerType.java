package io.github.qlora4j.trainer.config;

/** The shape of the learning rate after the warm-up. */
public enum SchedulerType {
    /** Down to zero in a straight line. */
    LINEAR,
    /** Down to zero along half a cosine. */
    COSINE,
    /** Constant from the first step; takes no warm-up. */
    CONSTANT,
    /** Constant after the warm-up. */
    CONSTANT_WITH_WARMUP,
    /** Down to {@code lr_end} along a power. */
    POLYNOMIAL
}
