package io.github.qlora4j.trainer.model;

import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.Int8Scheme;
import io.github.qlora4j.quant.KernelChoice;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.trainer.config.ModelSection;
import io.github.qlora4j.trainer.config.Precision;
import io.github.qlora4j.trainer.config.QuantizationSection;
import io.github.qlora4j.trainer.config.RunConfig;
import io.github.qlora4j.trainer.report.Rss;
import java.util.Optional;

/** From the keys of {@code model:} and {@code quantization:} to how the base is read. */
public final class BaseSetup {

    private BaseSetup() {}

    /** The options that a configuration stands for, {@code auto} resolved on this machine. */
    public static BaseOptions options(RunConfig config) {
        return options(config.model(), Optional.ofNullable(config.quantization()));
    }

    /** The options that the two sections stand for. */
    public static BaseOptions options(ModelSection model, Optional<QuantizationSection> quantization) {
        return inMemory(model, quantization).withPlacement(placement(model, quantization));
    }

    private static PlacementOptions placement(ModelSection model, Optional<QuantizationSection> quantization) {
        return new PlacementOptions(
                Optional.ofNullable(model.deviceMap()),
                model.maxMemory(),
                Optional.ofNullable(model.offloadFolder()),
                quantization
                        .map(QuantizationSection::llmInt8EnableFp32CpuOffload)
                        .orElse(false),
                Rss.freeBytes());
    }

    private static BaseOptions inMemory(ModelSection model, Optional<QuantizationSection> quantization) {
        Optional<Dtype> dtype = dtype(model.dtype());
        BaseOptions asStored = new BaseOptions(
                dtype,
                Optional.empty(),
                Optional.empty(),
                Dtype.FLOAT32,
                model.upcast(),
                SkipModules.DEFAULT,
                KernelChoice.AUTO);
        if (quantization.isEmpty()) {
            return asStored;
        }
        QuantizationSection q = quantization.get();
        if (!q.loadIn4bit() && !q.loadIn8bit()) {
            return asStored.withStored(q.stored().json());
        }
        if (q.loadIn8bit()) {
            return new BaseOptions(
                    dtype,
                    Optional.empty(),
                    Optional.of(new Int8Scheme(q.llmInt8Threshold())),
                    Dtype.FLOAT32,
                    model.upcast(),
                    skips(q),
                    q.kernel());
        }
        ComputeDtype compute = ComputeDtype.of(q.bnb4bitComputeDtype());
        // where products are float32 because bfloat16 is slow here, the rest of the model would be slow in it too
        boolean upcast =
                model.upcast() || q.bnb4bitComputeDtype() == Precision.AUTO && compute.dtype() == Dtype.FLOAT32;
        return new BaseOptions(
                dtype,
                Optional.of(new FourBitConfig(q.bnb4bitQuantType(), q.blocksize(), q.bnb4bitUseDoubleQuant())),
                Optional.empty(),
                compute.dtype(),
                upcast,
                skips(q),
                q.kernel());
    }

    private static SkipModules skips(QuantizationSection section) {
        return section.llmInt8SkipModules() == null
                ? SkipModules.DEFAULT
                : SkipModules.of(section.llmInt8SkipModules().names());
    }

    /** The dtype of a precision; empty for {@code auto}. */
    public static Optional<Dtype> dtype(Precision precision) {
        return switch (precision) {
            case AUTO -> Optional.empty();
            case FLOAT32 -> Optional.of(Dtype.FLOAT32);
            case BFLOAT16 -> Optional.of(Dtype.BFLOAT16);
            case FLOAT16 -> Optional.of(Dtype.FLOAT16);
        };
    }
}
