package io.github.qlora4j.trainer.cli;

import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.FourBitScheme;
import io.github.qlora4j.quant.Int8Scheme;
import io.github.qlora4j.quant.Int8Weight;
import io.github.qlora4j.quant.KernelChoice;
import io.github.qlora4j.quant.Kernels;
import io.github.qlora4j.quant.MatrixQuantizer;
import io.github.qlora4j.quant.ModelQuantizer;
import io.github.qlora4j.quant.QuantType;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.safetensors.ShardedSafetensorsWriter;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.trainer.config.Precision;
import io.github.qlora4j.trainer.model.BaseModel;
import io.github.qlora4j.trainer.model.BaseSetup;
import io.github.qlora4j.trainer.model.ModelConfig;
import io.github.qlora4j.trainer.model.Modules;
import java.nio.file.Path;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code quantize}: a model directory in few bits, as transformers loads it. */
@Command(
        name = "quantize",
        description =
                "Quantizes the linear layers of a model and writes a complete model directory that transformers loads."
                        + " What is not quantized keeps its stored dtype. bnb-4bit and bnb-8bit take a tensor at a time;"
                        + " gptq and awq take a block at a time, with what calibration texts make of its inputs.")
final class QuantizeVerb extends Verb {
    private static final String BNB_4 = "bnb-4bit";
    private static final String BNB_8 = "bnb-8bit";

    @Option(names = "--model", required = true, paramLabel = "DIR", description = "The model to quantize.")
    private Path model;

    @Option(names = "--output", required = true, paramLabel = "DIR", description = "Must not exist, or be empty.")
    private Path output;

    @Option(
            names = "--method",
            paramLabel = "METHOD",
            description = "bnb-4bit (the default), bnb-8bit (LLM.int8()), gptq or awq.")
    private String method = BNB_4;

    @Mixin
    private CalibrationOptions calibration;

    @Option(names = "--quant-type", paramLabel = "TYPE", description = "bnb-4bit: nf4 (the default) or fp4.")
    private QuantType quantType;

    @Option(
            names = "--blocksize",
            paramLabel = "N",
            description = "bnb-4bit: weights that share a scale; 64 is the default.")
    private Integer blocksize;

    @Option(
            names = "--double-quant",
            negatable = true,
            fallbackValue = "true",
            description = "bnb-4bit: quantize the scales too (the default), or do not.")
    private Boolean doubleQuant;

    @Option(
            names = "--compute-dtype",
            paramLabel = "DTYPE",
            description = "bnb-4bit: for config.json; bfloat16 is the default.")
    private Precision compute;

    @Option(
            names = "--kernel",
            paramLabel = "KERNEL",
            description = "bnb-4bit: auto (the default), bitsandbytes or builtin.")
    private KernelChoice kernel;

    @Option(
            names = "--llm-int8-threshold",
            paramLabel = "X",
            description = "bnb-8bit: for config.json; 6.0 is the default, 0 is none.")
    private Double threshold;

    @Override
    public Integer call() {
        checkUsed();
        if (CalibrationOptions.METHODS.contains(method)) {
            calibration.quantize(method, model, output, this::say);
            say("quantized model: " + output);
            return Main.OK;
        }
        MatrixQuantizer quantizer = quantizer();
        calibration.checkUnused(method);
        ModelConfig config = ModelConfig.read(model);
        try (ModelDirectory files = ModelDirectory.open(model)) {
            BaseModel.check(files, config);
        }
        Set<String> linear = Modules.of(config).stream()
                .filter(m -> m.isLinear() && !m.isOutputHead())
                .map(m -> m.name() + ".weight")
                .collect(Collectors.toSet());
        new ModelQuantizer(quantizer, ShardedSafetensorsWriter.DEFAULT_SHARD_BYTES)
                .quantize(model, output, linear::contains);
        say("quantized model: " + output);
        return Main.OK;
    }

    private void checkUsed() {
        boolean fourBit =
                quantType != null || blocksize != null || doubleQuant != null || compute != null || kernel != null;
        if (fourBit && !method.equals(BNB_4)) {
            throw new WrongUse(
                    "--quant-type, --blocksize, --double-quant, --compute-dtype and --kernel need --method " + BNB_4);
        }
        if (threshold != null && !method.equals(BNB_8)) {
            throw new WrongUse("--llm-int8-threshold needs --method " + BNB_8);
        }
    }

    private MatrixQuantizer quantizer() {
        switch (method) {
            case BNB_4:
                return new FourBitScheme(
                        new FourBitConfig(
                                Objects.requireNonNullElse(quantType, QuantType.NF4),
                                Objects.requireNonNullElse(blocksize, 64),
                                Objects.requireNonNullElse(doubleQuant, true)),
                        Optional.ofNullable(compute).flatMap(BaseSetup::dtype).orElse(Dtype.BFLOAT16),
                        Kernels.choose(Objects.requireNonNullElse(kernel, KernelChoice.AUTO)));
            case BNB_8:
                double outliers = Objects.requireNonNullElse(threshold, Int8Weight.DEFAULT_THRESHOLD);
                if (!(outliers >= 0) || Double.isInfinite(outliers)) {
                    throw new WrongUse("--llm-int8-threshold is " + outliers + "; a number of 0 or more is expected");
                }
                return new Int8Scheme(outliers);
            default:
                throw new WrongUse("--method is " + method + "; bnb-4bit, bnb-8bit, gptq or awq is expected");
        }
    }
}
