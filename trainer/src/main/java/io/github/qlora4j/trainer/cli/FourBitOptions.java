package io.github.qlora4j.trainer.cli;

import io.github.qlora4j.quant.Int8Weight;
import io.github.qlora4j.quant.KernelChoice;
import io.github.qlora4j.quant.QuantType;
import io.github.qlora4j.trainer.config.ModelSection;
import io.github.qlora4j.trainer.config.Precision;
import io.github.qlora4j.trainer.config.QuantizationSection;
import io.github.qlora4j.trainer.config.StoredKeys;
import io.github.qlora4j.trainer.model.BaseOptions;
import io.github.qlora4j.trainer.model.BaseSetup;
import java.util.Objects;
import java.util.Optional;
import picocli.CommandLine.Option;

/** The flags that say how a base is quantized; what is not given is null. */
final class FourBitOptions {
    @Option(names = "--load-in-4bit", description = "Quantize the base's linear layers to 4 bits.")
    boolean loadIn4bit;

    @Option(names = "--load-in-8bit", description = "Quantize the base's linear layers to 8 bits, by LLM.int8().")
    boolean loadIn8bit;

    @Option(
            names = "--llm-int8-threshold",
            paramLabel = "X",
            description =
                    "With --load-in-8bit: inputs from which on a column is multiplied in the model's dtype; 6.0 is"
                            + " the default, 0 is none.")
    Double llmInt8Threshold;

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

    /** Whether the base is to be quantized. */
    boolean quantizes() {
        return loadIn4bit || loadIn8bit;
    }

    /** Whether any of these flags was given. */
    boolean given() {
        return quantizes() || detailed() || llmInt8Threshold != null;
    }

    /**
     * Checks that every flag means something.
     *
     * @throws WrongUse where one does not
     */
    void check() {
        if (loadIn4bit && loadIn8bit) {
            throw new WrongUse("--load-in-4bit and --load-in-8bit exclude each other");
        }
        if (detailed() && !loadIn4bit) {
            throw new WrongUse(
                    loadIn8bit
                            ? "--quant-type, --blocksize, --double-quant, --compute-dtype and --kernel are of"
                                    + " --load-in-4bit, not of --load-in-8bit"
                            : "the quantization flags need --load-in-4bit");
        }
        if (llmInt8Threshold != null && !loadIn8bit) {
            throw new WrongUse("--llm-int8-threshold needs --load-in-8bit");
        }
        if (llmInt8Threshold != null && (!(llmInt8Threshold >= 0) || llmInt8Threshold.isInfinite())) {
            throw new WrongUse("--llm-int8-threshold is " + llmInt8Threshold + "; a number of 0 or more is expected");
        }
    }

    /** Whether a flag was given that only means something with {@code --load-in-4bit}. */
    private boolean detailed() {
        return quantType != null || blocksize != null || doubleQuant != null || computeDtype != null || kernel != null;
    }

    /**
     * How the flags say that a base is read, with what is not given as in BitsAndBytesConfig; a dtype that the model is
     * cast to is computed in too, unless another is given.
     */
    BaseOptions options(ModelSection model) {
        return options(model, false);
    }

    /** The same, where modules on the disk may stay in float32. */
    BaseOptions options(ModelSection model, boolean fp32Offload) {
        return BaseSetup.options(
                model,
                Optional.of(new QuantizationSection(
                        loadIn4bit,
                        loadIn8bit,
                        Objects.requireNonNullElse(quantType, QuantType.NF4),
                        Objects.requireNonNullElse(doubleQuant, true),
                        Objects.requireNonNullElse(computeDtype, model.dtype()),
                        Objects.requireNonNullElse(blocksize, 64),
                        Objects.requireNonNullElse(kernel, KernelChoice.AUTO),
                        Objects.requireNonNullElse(llmInt8Threshold, Int8Weight.DEFAULT_THRESHOLD),
                        null,
                        fp32Offload,
                        StoredKeys.NONE)));
    }
}
