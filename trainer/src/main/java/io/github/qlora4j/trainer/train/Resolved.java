package io.github.qlora4j.trainer.train;

import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.trainer.config.RunConfig;
import io.github.qlora4j.trainer.model.BaseOptions;
import io.github.qlora4j.trainer.model.ModelConfig;
import java.util.Locale;

/** A configuration in which nothing is left to the machine, so that two runs of it are the same run. */
final class Resolved {

    private Resolved() {}

    static RunConfig of(RunConfig config, ModelConfig model, BaseOptions options, int threads) {
        Dtype dtype = options.dtype().or(model::dtype).orElse(Dtype.FLOAT32);
        RunConfig resolved = config.with("model.dtype", name(dtype))
                .with("model.upcast", options.upcast())
                .with("training.threads", threads);
        if (config.quantized().isPresent() && config.quantization().loadIn4bit()) {
            resolved = resolved.with("quantization.bnb_4bit_compute_dtype", name(options.compute()));
        }
        return resolved;
    }

    private static String name(Dtype dtype) {
        return dtype.torchName().toLowerCase(Locale.ROOT);
    }
}
