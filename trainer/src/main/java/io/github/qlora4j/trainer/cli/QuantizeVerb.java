package io.github.qlora4j.trainer.cli;

import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.FourBitScheme;
import io.github.qlora4j.quant.Int8Scheme;
import io.github.qlora4j.quant.Int8Weight;
import io.github.qlora4j.quant.KernelChoice;
import io.github.qlora4j.quant.Kernels;
import io.github.qlora4j.quant.ModelQuantizer;
import io.github.qlora4j.quant.QuantType;
import io.github.qlora4j.quant.StoredScheme;
import io.github.qlora4j.quant.safetensors.ShardedSafetensorsWriter;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.trainer.config.Precision;
import io.github.qlora4j.trainer.model.ModelConfig;
import io.github.qlora4j.trainer.model.Modules;
import io.github.qlora4j.trainer.train.BaseSetup;
import java.nio.file.Path;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code quantize}: a model directory in 4 or 8 bits, as transformers writes it. */
@Command(
        name = "quantize",
        description = "Quantizes the linear layers of a model, a tensor at a time, and writes a complete model"
                + " directory that transformers loads. What is not quantized keeps its stored dtype.")
final class QuantizeVerb extends Verb {
    @Option(names = "--model", required = true, paramLabel = "DIR", description = "The model to quantize.")
    private Path model;

    @Option(names = "--output", required = true, paramLabel = "DIR", description = "Must not exist, or be empty.")
    private Path output;

    @Option(names = "--method", paramLabel = "NAME", description = "bnb-4bit (the default) or bnb-8bit: LLM.int8().")
    private String method = "bnb-4bit";

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
        StoredScheme scheme = scheme();
        ModelConfig config = ModelConfig.read(model);
        Set<String> linear = Modules.of(config).stream()
                .filter(m -> m.isLinear() && !m.isOutputHead())
                .map(m -> m.name() + ".weight")
                .collect(Collectors.toSet());
        new ModelQuantizer(scheme, ShardedSafetensorsWriter.DEFAULT_SHARD_BYTES)
                .quantize(model, output, linear::contains);
        say("quantized model: " + output);
        return Main.OK;
    }

    private StoredScheme scheme() {
        switch (method) {
            case "bnb-4bit":
                if (threshold != null) {
                    throw new WrongUse("--llm-int8-threshold needs --method bnb-8bit");
                }
                return new FourBitScheme(
                        new FourBitConfig(
                                Objects.requireNonNullElse(quantType, QuantType.NF4),
                                Objects.requireNonNullElse(blocksize, 64),
                                Objects.requireNonNullElse(doubleQuant, true)),
                        Optional.ofNullable(compute).flatMap(BaseSetup::dtype).orElse(Dtype.BFLOAT16),
                        Kernels.choose(Objects.requireNonNullElse(kernel, KernelChoice.AUTO)));
            case "bnb-8bit":
                if (quantType != null
                        || blocksize != null
                        || doubleQuant != null
                        || compute != null
                        || kernel != null) {
                    throw new WrongUse("--quant-type, --blocksize, --double-quant, --compute-dtype and --kernel need"
                            + " --method bnb-4bit");
                }
                double outliers = Objects.requireNonNullElse(threshold, Int8Weight.DEFAULT_THRESHOLD);
                if (!(outliers >= 0) || Double.isInfinite(outliers)) {
                    throw new WrongUse("--llm-int8-threshold is " + outliers + "; a number of 0 or more is expected");
                }
                return new Int8Scheme(outliers);
            default:
                throw new WrongUse("--method is " + method + "; bnb-4bit or bnb-8bit is expected");
        }
    }
}
