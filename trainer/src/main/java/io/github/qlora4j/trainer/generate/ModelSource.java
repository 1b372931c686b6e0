package io.github.qlora4j.trainer.generate;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.trainer.model.BaseOptions;
import java.nio.file.Path;
import java.util.Objects;
import java.util.Optional;

/**
 * Where a language model is: a base, an adapter on a base, or an adapter alone, whose files say what base it belongs to.
 *
 * @param model the base's directory; empty takes the one that the adapter's files name
 * @param adapter a run's {@code output_dir}, one of its {@code checkpoint-N}, or any adapter directory of peft's
 * @param options how the base is read, where {@code model} is given; without it, the adapter's files say so too, but for
 *     where its weights lie where {@code options} say that
 */
public record ModelSource(Optional<Path> model, Optional<Path> adapter, BaseOptions options) {

    /** Checks that there is something. */
    public ModelSource {
        Objects.requireNonNull(options, "options");
        if (model.isEmpty() && adapter.isEmpty()) {
            throw new QloraException("there is no model: name a model directory, an adapter, or both");
        }
    }

    /** A base alone, as it is stored. */
    public static ModelSource ofModel(Path model) {
        return ofModel(model, BaseOptions.unquantized());
    }

    /** A base alone. */
    public static ModelSource ofModel(Path model, BaseOptions options) {
        return new ModelSource(Optional.of(model), Optional.empty(), options);
    }

    /** An adapter on the base that its own files name, read as they say. */
    public static ModelSource ofAdapter(Path adapter) {
        return ofAdapter(adapter, BaseOptions.unquantized());
    }

    /** The same with the weights where the options say; nothing else of them counts. */
    public static ModelSource ofAdapter(Path adapter, BaseOptions placed) {
        return new ModelSource(Optional.empty(), Optional.of(adapter), placed);
    }

    /** How the base is read, by the adapter's own files where there is no {@code model}. */
    BaseOptions options(Optional<AdapterOrigin> origin) {
        if (model.isPresent()) {
            return options;
        }
        BaseOptions trained = origin.orElseThrow().options();
        if (options.placement().map().isEmpty()) {
            return trained;
        }
        if (trained.placement().fp32Offload()) {
            throw new QloraException(origin.get().directory() + ": its run kept modules in float32 by"
                    + " llm_int8_enable_fp32_cpu_offload and its device_map, so another map is another base; name the base"
                    + " with --model DIR and give it that map");
        }
        return trained.withPlacement(options.placement());
    }
}
