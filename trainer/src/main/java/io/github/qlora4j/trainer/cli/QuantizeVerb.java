package io.github.qlora4j.trainer.cli;

import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.KernelChoice;
import io.github.qlora4j.quant.Kernels;
import io.github.qlora4j.quant.ModelQuantizer;
import io.github.qlora4j.quant.QuantType;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.safetensors.ShardedSafetensorsWriter;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.trainer.config.Precision;
import io.github.qlora4j.trainer.model.BaseModel;
import io.github.qlora4j.trainer.model.ModelConfig;
import io.github.qlora4j.trainer.model.Modules;
import io.github.qlora4j.trainer.train.BaseSetup;
import java.nio.file.Path;
import java.util.Set;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code quantize}: a model directory in 4 bits, as transformers writes it. */
@Command(
        name = "quantize",
        description =
                "Quantizes the linear layers of a model to 4 bits, a tensor at a time, and writes a complete model"
                        + " directory that transformers loads. What is not quantized keeps its stored dtype.")
final class QuantizeVerb extends Verb {
    @Option(names = "--model", required = true, paramLabel = "DIR", description = "The model to quantize.")
    private Path model;

    @Option(names = "--output", required = true, paramLabel = "DIR", description = "Must not exist, or be empty.")
    private Path output;

    @Option(names = "--quant-type", paramLabel = "TYPE", description = "nf4 (the default) or fp4.")
    private QuantType quantType = QuantType.NF4;

    @Option(names = "--blocksize", paramLabel = "N", description = "Weights that share a scale; 64 is the default.")
    private int blocksize = 64;

    @Option(
            names = "--double-quant",
            negatable = true,
            fallbackValue = "true",
            description = "Quantize the scales too (the default), or do not.")
    private boolean doubleQuant = true;

    @Option(names = "--compute-dtype", paramLabel = "DTYPE", description = "For config.json; bfloat16 is the default.")
    private Precision compute = Precision.BFLOAT16;

    @Option(names = "--kernel", paramLabel = "KERNEL", description = "auto (the default), bitsandbytes or builtin.")
    private KernelChoice kernel = KernelChoice.AUTO;

    @Override
    public Integer call() {
        ModelConfig config = ModelConfig.read(model);
        try (ModelDirectory files = ModelDirectory.open(model)) {
            BaseModel.check(files, config);
        }
        Set<String> linear = Modules.of(config).stream()
                .filter(m -> m.isLinear() && !m.isOutputHead())
                .map(m -> m.name() + ".weight")
                .collect(Collectors.toSet());
        new ModelQuantizer(
                        new FourBitConfig(quantType, blocksize, doubleQuant),
                        BaseSetup.dtype(compute).orElse(Dtype.BFLOAT16),
                        Kernels.choose(kernel),
                        ShardedSafetensorsWriter.DEFAULT_SHARD_BYTES)
                .quantize(model, output, linear::contains);
        say("quantized model: " + output);
        return Main.OK;
    }
}
