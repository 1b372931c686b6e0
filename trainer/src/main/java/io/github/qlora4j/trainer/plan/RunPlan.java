package io.github.qlora4j.trainer.plan;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.trainer.config.AdapterDtype;
import io.github.qlora4j.trainer.config.MemorySize;
import io.github.qlora4j.trainer.config.Precision;
import io.github.qlora4j.trainer.config.RunConfig;
import io.github.qlora4j.trainer.model.BaseSetup;
import io.github.qlora4j.trainer.model.Family.Linear;
import io.github.qlora4j.trainer.model.ModelConfig;
import io.github.qlora4j.trainer.model.Placement;
import io.github.qlora4j.trainer.model.PlacementOptions;
import io.github.qlora4j.trainer.model.Recomputation;
import io.github.qlora4j.trainer.model.StoredQuantization;
import io.github.qlora4j.trainer.plan.Quantized.EightBit;
import io.github.qlora4j.trainer.plan.Quantized.FourBit;
import io.github.qlora4j.trainer.plan.Quantized.InDirectory;
import io.github.qlora4j.trainer.plan.Quantized.Stored;
import io.github.qlora4j.trainer.report.Rss;
import io.github.qlora4j.trainer.train.AdapterSettings;
import java.util.HashSet;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;

/** From a run's configuration to its {@link MemoryPlan}. */
public final class RunPlan {
    private RunPlan() {}

    /**
     * Plans a run; of the model's files, {@code config.json} alone is read.
     *
     * @param run the configuration
     * @param compute the dtype in which layers are multiplied where the run asks for 4 bits; another base uses its own
     * @throws io.github.qlora4j.quant.QloraException if config.json cannot be used or a target matches nothing
     */
    public static MemoryPlan of(RunConfig run, Dtype compute) {
        ModelShape shape = new ModelShape(ModelConfig.read(run.model().path()));
        StoredQuantization stored = StoredQuantization.of(run.model().path(), shape.config(), BaseSetup.options(run));
        Quantized quantized = quantized(stored, shape);
        Dtype dtype = run.model().dtype() == Precision.AUTO
                ? shape.dtype()
                : Dtype.ofTorchName(run.model().dtype().name().toLowerCase(Locale.ROOT));
        boolean upcast = run.model().upcast();
        boolean own = quantized == null || stored.options().eightBit().isPresent();
        boolean asked = run.quantized().isPresent() && run.quantization().loadIn4bit();
        PlanSettings settings = new PlanSettings(
                dtype,
                quantized,
                own
                        ? upcast ? Dtype.FLOAT32 : dtype
                        : asked ? compute : stored.options().compute(),
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

    /** How linear layers are kept, by the run's keys or, where the directory is quantized, its own; null where they are not. */
    private static Quantized quantized(StoredQuantization stored, ModelShape shape) {
        Optional<Quantized> scheme = scheme(stored);
        Set<String> leftOut = new HashSet<>();
        for (int i = 0; i < shape.layers(); i++) {
            for (Linear linear : shape.linears()) {
                String module = "model.layers." + i + "." + linear.name();
                if (stored.leavesOut(module)) {
                    leftOut.add(module);
                }
            }
        }
        return scheme.map(
                        kept -> new InDirectory(kept, leftOut, stored.settings().isPresent()))
                .orElse(null);
    }

    private static Optional<Quantized> scheme(StoredQuantization stored) {
        if (stored.options().eightBit().isPresent()) {
            return Optional.of(new EightBit());
        }
        Optional<Quantized> four = stored.options().fourBit().map(c -> new FourBit(c.blocksize(), c.doubleQuant()));
        return four.isPresent() || stored.scheme().bytes(1, 1).isEmpty()
                ? four
                : Optional.of(new Stored(stored.scheme()));
    }

    /** Where the base would lie; null where the configuration does not say. */
    private static Placement placement(ModelShape shape, RunConfig run, Quantized quantized, Dtype rest) {
        PlacementOptions asked = BaseSetup.options(run).placement();
        if (asked.map().isEmpty()) {
            return null;
        }
        return Placement.of(
                shape.config(),
                asked,
                (name, linear) -> quantized == null || quantized.leavesOut(name)
                        ? ModelShape.weights(linear) * (double) rest.bytes()
                        : quantized.divided(linear),
                rest,
                quantized != null);
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
