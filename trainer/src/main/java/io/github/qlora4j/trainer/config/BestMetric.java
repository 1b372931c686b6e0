package io.github.qlora4j.trainer.config;

/** By what the best checkpoint is chosen. */
public enum BestMetric {
    /** The loss over the eval rows; smaller is better. */
    @Spelled("loss")
    EVAL_LOSS
}
