package io.github.qlora4j.trainer.plan;

import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.trainer.config.GradientCheckpointing;
import io.github.qlora4j.trainer.config.OptimizerName;
import io.github.qlora4j.trainer.config.RunConfig;
import io.github.qlora4j.trainer.config.TrainingSection;
import io.github.qlora4j.trainer.model.BaseSetup;
import io.github.qlora4j.trainer.model.ModelConfig;
import io.github.qlora4j.trainer.model.StoredQuantization;
import io.github.qlora4j.trainer.plan.MemoryPlan.Item;
import io.github.qlora4j.trainer.plan.MemoryPlan.Stage;
import io.github.qlora4j.trainer.report.Figures;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;

/**
 * What a run that has not enough memory is told: where its memory goes, and what makes it smaller.
 *
 * @param plan of the run as it is configured
 * @param remedies those that help noticeably, the cheapest first: what changes no result, then what changes little
 */
public record MemoryAdvice(MemoryPlan plan, List<Remedy> remedies) {

    private static final int SHOWN = 3;
    /** A remedy counts where it saves this share of what the run takes beyond the program itself. */
    private static final double NOTICEABLE = 0.02;

    /**
     * One change of the configuration.
     *
     * @param keys what to write, such as {@code training.gradient_checkpointing: true}
     * @param cost what it costs, a phrase
     * @param peakBytes the planned peak with it
     */
    public record Remedy(String keys, String cost, long peakBytes) {}

    /**
     * Plans a run, and each change that could make it smaller.
     *
     * @param compute as in {@link RunPlan#of}
     */
    public static MemoryAdvice of(RunConfig run, Dtype compute) {
        MemoryPlan plan = RunPlan.of(run, compute);
        long most = plan.peakBytes() - (long) (NOTICEABLE * (plan.peakBytes() - MemoryPlan.PROGRAM));
        List<Remedy> remedies = new ArrayList<>();
        for (Change change : changes(run)) {
            long peak = RunPlan.of(change.config, compute).peakBytes();
            if (peak < most) {
                remedies.add(new Remedy(change.keys, change.cost, peak));
            }
        }
        return new MemoryAdvice(plan, List.copyOf(remedies));
    }

    /** The stage that takes most, its largest parts, and the cheapest remedies, a line each. */
    public List<String> lines() {
        Stage largest = plan.stages().stream()
                .max(Comparator.comparingLong(Stage::bytes))
                .orElseThrow();
        List<String> lines = new ArrayList<>();
        lines.add("planned peak: " + Figures.bytes(largest.bytes()) + ", in " + largest.name());
        largest.items().stream()
                .sorted(Comparator.comparingLong(Item::bytes).reversed())
                .limit(SHOWN)
                .forEach(item ->
                        lines.add(String.format(Locale.ROOT, "  %-42s %9s", item.name(), Figures.bytes(item.bytes()))));
        if (remedies.isEmpty()) {
            lines.add("no single key makes it noticeably smaller: take a smaller base, or a machine with more memory");
            return lines;
        }
        lines.add("what makes it smaller, the cheapest first:");
        remedies.stream()
                .limit(SHOWN)
                .forEach(remedy -> lines.add("  " + remedy.keys() + "  ->  " + Figures.bytes(remedy.peakBytes())
                        + " planned (" + remedy.cost() + ")"));
        return lines;
    }

    private record Change(String keys, String cost, RunConfig config) {
        static Change of(RunConfig run, String key, Object value, String cost) {
            return new Change(key + ": " + value, cost, run.with(key, value));
        }
    }

    /** All that can be changed, what costs least first. */
    private static List<Change> changes(RunConfig run) {
        TrainingSection training = run.training();
        List<Change> changes = new ArrayList<>();
        if (training.gradientCheckpointing() != GradientCheckpointing.TRUE) {
            // a budget belongs to auto alone
            RunConfig bare = training.memoryBudget() == null ? run : run.with("training.memory_budget", null);
            changes.add(Change.of(bare, "training.gradient_checkpointing", true, "the same result, slower"));
        }
        int rows = training.perDeviceTrainBatchSize();
        if (rows > 1) {
            int fewer = rows / 2;
            int passes = Math.min(65536, (int) Math.ceil((double) rows * training.gradientAccumulationSteps() / fewer));
            changes.add(new Change(
                    "training.per_device_train_batch_size: " + fewer + ", training.gradient_accumulation_steps: "
                            + passes,
                    rows % 2 == 0 ? "the same loss and gradients, a little slower" : "nearly the same batch",
                    run.toBuilder()
                            .opt("training.per_device_train_batch_size", fewer)
                            .opt("training.gradient_accumulation_steps", passes)
                            .build()));
        }
        if (!training.optim().paged()) {
            OptimizerName paged =
                    training.optim().eightBit() ? OptimizerName.PAGED_ADAMW_8BIT : OptimizerName.PAGED_ADAMW_32BIT;
            changes.add(Change.of(
                    run, "training.optim", paged.name().toLowerCase(Locale.ROOT), "the same result, up to rounding"));
        }
        if (run.model().deviceMap() == null) {
            boolean folder = run.quantized().isPresent();
            RunConfig disk = run.with("model.device_map", "disk");
            changes.add(new Change(
                    "model.device_map: disk" + (folder ? ", model.offload_folder: DIR" : ""),
                    "the same result; the base is read for each use",
                    disk));
        }
        if (run.quantized().isEmpty()) {
            if (!isStoredQuantized(run)) {
                changes.add(new Change(
                        "quantization.load_in_4bit: true",
                        "QLoRA; a slightly coarser base",
                        run.with("quantization.load_in_4bit", true)));
            }
        } else if (!run.quantization().bnb4bitUseDoubleQuant()) {
            changes.add(Change.of(run, "quantization.bnb_4bit_use_double_quant", true, "a slightly coarser base"));
        }
        if (run.model().upcast()) {
            changes.add(Change.of(run, "model.upcast", false, "embeddings and residuals in the model's own dtype"));
        }
        if (!training.optim().eightBit()) {
            changes.add(Change.of(run, "training.optim", "paged_adamw_8bit", "coarser moments"));
        }
        if (run.data().maxLength() >= 64) {
            changes.add(Change.of(
                    run, "data.max_length", run.data().maxLength() / 2, "cuts longer rows; look at the lengths first"));
        }
        if (run.lora().r() > 1) {
            changes.add(Change.of(run, "lora.r", run.lora().r() / 2, "a smaller adapter"));
        }
        return changes;
    }

    /** Whether the base is in fewer bits already, and cannot be quantized. */
    private static boolean isStoredQuantized(RunConfig run) {
        Path base = run.model().path();
        return StoredQuantization.of(base, ModelConfig.read(base), BaseSetup.options(run))
                .settings()
                .isPresent();
    }
}
