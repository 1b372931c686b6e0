package io.github.qlora4j.trainer.config;

/** What a schedule takes beyond the warm-up: {@code training.lr_scheduler_kwargs}. */
public record SchedulerArguments(
        @Key(value = "Learning rate at the end (polynomial).", orElse = "1.0e-7") @Range(min = 0)
        double lrEnd,

        @Key(value = "Power of the decay (polynomial); 1 is linear.", orElse = "1.0") @Range(min = 0, aboveMin = true)
        double power) {

    /** transformers' defaults. */
    public static final SchedulerArguments DEFAULT = new SchedulerArguments(1e-7, 1.0);
}
