package io.github.qlora4j.trainer.cli;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.peft.Adapter;
import io.github.qlora4j.peft.BaseTensors;
import io.github.qlora4j.peft.FourBitRoundTrip;
import io.github.qlora4j.peft.Int8RoundTrip;
import io.github.qlora4j.peft.MergedModel;
import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.Kernels;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.config.ModelSection;
import io.github.qlora4j.trainer.config.Precision;
import io.github.qlora4j.trainer.generate.AdapterOrigin;
import io.github.qlora4j.trainer.model.BaseModel;
import io.github.qlora4j.trainer.model.BaseOptions;
import io.github.qlora4j.trainer.model.BaseSetup;
import io.github.qlora4j.trainer.model.ModelConfig;
import io.github.qlora4j.trainer.model.Modules;
import io.github.qlora4j.trainer.model.StoredQuantization;
import java.nio.file.Path;
import java.util.Locale;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code merge}: base and adapter as one model. */
@Command(
        name = "merge",
        description = "Adds an adapter to its base and writes a complete model directory. The base is taken as it was"
                + " trained on: quantized to 4 or 8 bits and back where the run's files or the flags say so.")
final class MergeVerb extends Verb {
    @Option(names = "--model", paramLabel = "DIR", description = "The base; what the adapter's run names by default.")
    private Path model;

    @Option(
            names = "--adapter",
            required = true,
            paramLabel = "DIR",
            description = "A run, a checkpoint or an adapter.")
    private Path adapter;

    @Option(names = "--output", required = true, paramLabel = "DIR", description = "Must not exist, or be empty.")
    private Path output;

    @Option(names = "--dtype", paramLabel = "DTYPE", description = "bfloat16 (the default), float16 or float32.")
    private Precision dtype = Precision.BFLOAT16;

    @Mixin
    private FourBitOptions fourBit;

    @Override
    public Integer call() {
        Dtype written = BaseSetup.dtype(dtype).orElse(Dtype.BFLOAT16);
        AdapterOrigin origin = AdapterOrigin.read(adapter);
        Path base = model != null ? model : origin.base();
        BaseOptions trainedOn = trainedOn(base, origin);
        ModelConfig config = ModelConfig.read(base);
        try (NDManager manager = Torch.newManager();
                ModelDirectory files = ModelDirectory.open(base);
                Adapter trained = Adapter.load(manager, adapter, Modules.of(config), config.modelType(), null)) {
            StoredQuantization stored = StoredQuantization.of(base, config, trainedOn);
            BaseModel.check(files, config);
            BaseTensors tensors = BaseTensors.of(files);
            MergedModel.RoundTrip roundTrip = null;
            if (stored.scheme().isIn(files)) {
                tensors = BaseTensors.dequantized(
                        files, stored.scheme(), stored.options().compute());
                say("merging onto the dequantized " + stored.scheme().name() + " weights of " + base);
            } else if (trainedOn.eightBit().isPresent()) {
                roundTrip = roundTrip(config, trainedOn);
                say("merging onto the base as it was trained on: quantized to int8 row by row and back");
            } else if (trainedOn.fourBit().isPresent()) {
                roundTrip = roundTrip(config, trainedOn);
                FourBitConfig four = trainedOn.fourBit().get();
                say("merging onto the base as it was trained on: quantized to "
                        + four.type().name().toLowerCase(Locale.ROOT) + " in blocks of " + four.blocksize()
                        + (four.doubleQuant() ? ", scales quantized too," : "") + " and back");
            } else {
                say("merging onto the base as it is: neither the run's files nor the flags say 4 or 8 bits");
            }
            new MergedModel(base, tensors, trained, written, roundTrip).write(output);
        }
        say("merged model: " + output);
        say("next: scripts/qlora generate --model " + output
                + " --template NAME --prompt TEXT (a model remembers no template)");
        return Main.OK;
    }

    /** What the flags say, or the run's own files. */
    private BaseOptions trainedOn(Path base, AdapterOrigin origin) {
        fourBit.check();
        if (!fourBit.quantizes()) {
            return origin.options();
        }
        return fourBit.options(new ModelSection(base, Precision.AUTO, false));
    }

    /** The dtype of activations in training, in which 8-bit weights are worked out. */
    private static Dtype stream(ModelConfig config, BaseOptions trainedOn) {
        return trainedOn.upcast()
                ? Dtype.FLOAT32
                : trainedOn.dtype().or(config::dtype).orElse(Dtype.FLOAT32);
    }

    private static MergedModel.RoundTrip roundTrip(ModelConfig config, BaseOptions trainedOn) {
        Dtype cast = trainedOn.dtype().or(config::dtype).orElse(Dtype.FLOAT32);
        MergedModel.RoundTrip quantized = trainedOn.eightBit().isPresent()
                ? new Int8RoundTrip(cast, stream(config, trainedOn))
                : new FourBitRoundTrip(
                        trainedOn.fourBit().orElseThrow(),
                        cast,
                        trainedOn.compute(),
                        Kernels.choose(trainedOn.kernel()));
        return new MergedModel.RoundTrip() {
            @Override
            public NDArray apply(NDManager owner, String name, NDArray weight) {
                String module = name.substring(0, name.length() - ".weight".length());
                return trainedOn.skips(module) ? Torch.cast(owner, weight, cast) : quantized.apply(owner, name, weight);
            }

            @Override
            public boolean takesHead() {
                return !trainedOn.skips("lm_head");
            }
        };
    }
}
