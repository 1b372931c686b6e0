package io.github.qlora4j.trainer.config;

import java.nio.file.Path;

/** The training loop; names as in transformers' TrainingArguments. The boxed components may be null, as said there. */
public record TrainingSection(
        @Key(value = "Directory of the run: adapter, checkpoints, metrics.jsonl.", orElse = "trainer_output")
        Path outputDir,

        @Key(value = "Rows of one forward and backward pass.", orElse = "2") @Range(min = 1, max = 65536)
        int perDeviceTrainBatchSize,

        @Key(value = "Rows of one forward pass in evaluation.", orElse = "8") @Range(min = 1, max = 65536)
        int perDeviceEvalBatchSize,

        @Key(value = "Passes whose gradients are added up for one step.", orElse = "8") @Range(min = 1, max = 65536)
        int gradientAccumulationSteps,

        @Key(value = "Times the training rows are gone through; may be a fraction.", orElse = "1")
        @Range(min = 0, aboveMin = true, max = 1e6)
        double numTrainEpochs,

        @Key(value = "Stop after this many steps, whatever num_train_epochs says; -1 is no limit.", orElse = "-1")
        @Range(min = -1)
        int maxSteps,

        @Key(value = "Highest learning rate.", orElse = "2.0e-4") @Range(min = 0)
        double learningRate,

        @Key(value = "Shape of the learning rate.", orElse = "cosine")
        SchedulerType lrSchedulerType,

        @Key(value = "What a schedule takes beyond the warm-up.", orElse = "{}")
        SchedulerArguments lrSchedulerKwargs,

        @Key(value = "Steps in which the learning rate rises from zero; below 1, the share of all steps.", orElse = "0")
        @Range(min = 0)
        double warmupSteps,

        @Key(value = "The same as a share of all steps; use one of the two.", orElse = "0.0") @Range(min = 0, max = 1)
        double warmupRatio,

        @Key(value = "Decoupled weight decay.", orElse = "0.0") @Range(min = 0)
        double weightDecay,

        @Key(value = "AdamW's first beta.", orElse = "0.9") @Range(min = 0, max = 1, belowMax = true)
        double adamBeta1,

        @Key(value = "AdamW's second beta.", orElse = "0.999") @Range(min = 0, max = 1, belowMax = true)
        double adamBeta2,

        @Key(value = "AdamW's epsilon.", orElse = "1.0e-8") @Range(min = 0)
        double adamEpsilon,

        @Key(value = "Clip gradients to this global norm; 0 is off.", orElse = "1.0") @Range(min = 0)
        double maxGradNorm,

        @Key(value = "Optimizer.", orElse = "paged_adamw_32bit")
        OptimizerName optim,

        @Key(value = "Memory that the pages of a paged optimizer may hold at once.", orElse = "64MiB")
        MemorySize pagedResident,

        @Key(
                value = "Compute activations again in the backward pass: true (but for as many layers as 128 MiB hold),"
                        + " false, or auto for as few layers as memory_budget allows.",
                orElse = "true")
        GradientCheckpointing gradientCheckpointing,

        @Key(
                "Memory that gradient_checkpointing: auto plans for, such as 6GB; left out, three quarters of what is free.")
        MemorySize memoryBudget,

        @Key(value = "When progress is logged.", orElse = "steps")
        IntervalStrategy loggingStrategy,

        @Key(value = "Steps between log lines.", orElse = "1") @Range(min = 1)
        int loggingSteps,

        @Key(value = "When the eval rows are scored.", orElse = "steps")
        IntervalStrategy evalStrategy,

        @Key(value = "Steps between evaluations; 0 is off.", orElse = "0") @Range(min = 0)
        int evalSteps,

        @Key(value = "When a checkpoint is written.", orElse = "steps")
        IntervalStrategy saveStrategy,

        @Key(value = "Steps between checkpoints.", orElse = "100") @Range(min = 1)
        int saveSteps,

        @Key(value = "Checkpoints kept, the newest (and the best, where one is kept); null is all.", orElse = "2")
        @Range(min = 1)
        Integer saveTotalLimit,

        @Key(
                value = "Put the adapter of the lowest eval loss into output_dir at the end, not the last one; the best"
                        + " step so far is saved even where save_steps asks for no checkpoint.",
                orElse = "false")
        boolean loadBestModelAtEnd,

        @Key(value = "By what the best checkpoint is chosen.", orElse = "eval_loss")
        BestMetric metricForBestModel,

        @Key(value = "Stop after this many evaluations without a better eval loss; 0 is off.", orElse = "0")
        @Range(min = 0)
        int earlyStoppingPatience,

        @Key(value = "By how much the eval loss must fall to count as better.", orElse = "0.0") @Range(min = 0)
        double earlyStoppingThreshold,

        @Key(value = "Seed of everything random.", orElse = "42") @Range(min = 0)
        int seed,

        @Key("Seed of the order of rows; left out, seed.") @Range(min = 0)
        Integer dataSeed,

        @Key(value = "Threads of the engine; 0 leaves it to the engine.", orElse = "0") @Range(min = 0, max = 1024)
        int threads,

        @Key(
                value = "Answer the rows of data.eval greedily before the first step and after the last, and count the"
                        + " answers that equal output.",
                orElse = "false")
        boolean predictWithGenerate,

        @Key(value = "Tokens that such an answer may have.", orElse = "64") @Range(min = 1, max = 1_048_576)
        int generationMaxNewTokens) {

    /** The default of {@code paged_resident}. */
    static final MemorySize PAGED_RESIDENT = MemorySize.parse("64MiB");

    /**
     * The warm-up in steps, rounded up where it is a share, as transformers does.
     *
     * @param totalSteps the steps of the whole run
     */
    public long warmup(long totalSteps) {
        if (warmupRatio > 0) {
            return (long) Math.ceil(totalSteps * warmupRatio);
        }
        return warmupSteps >= 1 ? (long) warmupSteps : (long) Math.ceil(totalSteps * warmupSteps);
    }

    /** Evaluations happen during training, if there is something to evaluate on. */
    public boolean evaluates() {
        return evalStrategy == IntervalStrategy.EPOCH || evalStrategy == IntervalStrategy.STEPS && evalSteps > 0;
    }

    /** The seed of the order of rows. */
    public int rowSeed() {
        return dataSeed == null ? seed : dataSeed;
    }
}
