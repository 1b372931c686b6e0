package io.github.qlora4j.trainer.report;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.trainer.config.AdapterDtype;
import io.github.qlora4j.trainer.config.MemorySize;
import io.github.qlora4j.trainer.config.Precision;
import io.github.qlora4j.trainer.config.QuantizationSection;
import io.github.qlora4j.trainer.config.RunConfig;
import io.github.qlora4j.trainer.model.ModelConfig;
import io.github.qlora4j.trainer.model.Placement;
import io.github.qlora4j.trainer.model.PlacementOptions;
import io.github.qlora4j.trainer.model.Recomputation;
import io.github.qlora4j.trainer.report.PlanSettings.EightBit;
import io.github.qlora4j.trainer.report.PlanSettings.FourBit;
import io.github.qlora4j.trainer.report.PlanSettings.Quantized;
import io.github.qlora4j.trainer.train.AdapterSettings;
import io.github.qlora4j.trainer.train.BaseSetup;

/** From a run's configuration to its {@link MemoryPlan}. */
public final class RunPlan {
    private RunPlan() {}

    /**
     * Plans a run; of the model's files, {@code config.json} alone is read.
     *
     * @param run the configuration
     * @param compute the dtype in which 4-bit layers are multiplied; a base that is not quantized uses its own
     * @throws io.github.qlora4j.quant.QloraException if config.json cannot be used or a target matches nothing
     */
    public static MemoryPlan of(RunConfig run, Dtype compute) {
        ModelShape shape = new ModelShape(ModelConfig.read(run.model().path()));
        Quantized quantized = run.quantized().map(RunPlan::quantized).orElse(null);
        Dtype dtype = run.model().dtype() == Precision.AUTO
                ? shape.dtype()
                : Dtype.ofTorchName(run.model().dtype().name().toLowerCase(java.util.Locale.ROOT));
        boolean upcast = run.model().upcast();
        PlanSettings settings = new PlanSettings(
                dtype,
                quantized,
                quantized instanceof FourBit ? compute : upcast ? Dtype.FLOAT32 : dtype,
                upcast,
                trained(shape, run),
                run.lora().dtype() == AdapterDtype.FLOAT32 ? Dtype.FLOAT32 : Dtype.BFLOAT16,
                run.training().optim(),
                run.training().pagedResident().bytes(),
                (long) run.training().perDeviceTrainBatchSize() * run.data().maxLength(),
                shape.layers(),
                placement(shape, run, quantized, upcast ? Dtype.FLOAT32 : dtype));
        return switch (run.training().gradientCheckpointing()) {
            case TRUE -> {
                int kept = new Recomputation.All()
                        .keptBlocks(shape.config(), upcast ? Dtype.FLOAT32 : dtype, settings.tokens());
                yield MemoryPlan.of(shape, settings.recomputing(shape.layers() - kept));
            }
            case FALSE -> MemoryPlan.of(shape, settings.recomputing(0));
            case AUTO -> MemoryPlan.within(shape, settings, budget(run));
        };
    }

    private static Quantized quantized(QuantizationSection section) {
        return section.loadIn8bit()
                ? new EightBit()
                : new FourBit(section.blocksize(), section.bnb4bitUseDoubleQuant());
    }

    /** Where the base would lie; null where the configuration does not say. */
    private static Placement placement(ModelShape shape, RunConfig run, Quantized quantized, Dtype rest) {
        PlacementOptions asked = BaseSetup.options(run).placement();
        if (asked.map().isEmpty()) {
            return null;
        }
        double each = quantized instanceof FourBit ? 0.5 : quantized instanceof EightBit ? 1 : rest.bytes();
        return Placement.of(
                shape.config(), asked, (name, linear) -> ModelShape.weights(linear) * each, rest, quantized != null);
    }

    private static PlanSettings.Trained trained(ModelShape shape, RunConfig run) {
        try {
            return shape.trained(AdapterSettings.of(run.lora()));
        } catch (QloraException e) {
            throw new QloraException("lora." + e.getMessage(), e);
        }
    }

    /** {@code training.memory_budget}, or three quarters of what is free; without limit where neither is known. */
    private static long budget(RunConfig run) {
        MemorySize given = run.training().memoryBudget();
        long free = Rss.freeBytes();
        return given != null ? given.bytes() : free > 0 ? free / 4 * 3 : Long.MAX_VALUE;
    }
}
