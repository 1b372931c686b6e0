package io.github.qlora4j.trainer.cli;

import io.github.qlora4j.quant.KernelChoice;
import io.github.qlora4j.quant.QuantType;
import io.github.qlora4j.trainer.config.ModelSection;
import io.github.qlora4j.trainer.config.Precision;
import io.github.qlora4j.trainer.config.QuantizationSection;
import io.github.qlora4j.trainer.model.BaseOptions;
import io.github.qlora4j.trainer.train.BaseSetup;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import picocli.CommandLine.Option;

/** The flags that say how a base is quantized; what is not given is null. */
final class FourBitOptions {
    @Option(names = "--load-in-4bit", description = "Quantize the base's linear layers to 4 bits.")
    boolean loadIn4bit;

    @Option(names = "--quant-type", paramLabel = "TYPE", description = "nf4 (the default) or fp4.")
    QuantType quantType;

    @Option(names = "--blocksize", paramLabel = "N", description = "Weights that share a scale; 64 is the default.")
    Integer blocksize;

    @Option(
            names = "--double-quant",
            negatable = true,
            fallbackValue = "true",
            description = "Quantize the scales too (the default), or do not.")
    Boolean doubleQuant;

    @Option(
            names = "--compute-dtype",
            paramLabel = "DTYPE",
            description = "Dtype of the products: auto (the default), float32, bfloat16 or float16.")
    Precision computeDtype;

    @Option(
            names = "--kernel",
            paramLabel = "KERNEL",
            description = "auto (the default), bitsandbytes (its absence is an error) or builtin.")
    KernelChoice kernel;

    /** Whether a flag was given that only means something with {@code --load-in-4bit}. */
    boolean detailed() {
        return quantType != null || blocksize != null || doubleQuant != null || computeDtype != null || kernel != null;
    }

    /**
     * How the flags say that a base is read, with what is not given as in BitsAndBytesConfig; a dtype that the model is
     * cast to is computed in too, unless another is given.
     */
    BaseOptions options(ModelSection model) {
        return BaseSetup.options(
                model,
                Optional.of(new QuantizationSection(
                        true,
                        Objects.requireNonNullElse(quantType, QuantType.NF4),
                        Objects.requireNonNullElse(doubleQuant, true),
                        Objects.requireNonNullElse(computeDtype, model.dtype()),
                        Objects.requireNonNullElse(blocksize, 64),
                        Objects.requireNonNullElse(kernel, KernelChoice.AUTO),
                        List.of())));
    }
}
