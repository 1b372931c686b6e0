package io.github.qlora4j.trainer.cli;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.config.BuiltinTemplate;
import io.github.qlora4j.trainer.config.ModelSection;
import io.github.qlora4j.trainer.config.Precision;
import io.github.qlora4j.trainer.config.TemplateChoice;
import io.github.qlora4j.trainer.data.Template;
import io.github.qlora4j.trainer.generate.LanguageModel;
import io.github.qlora4j.trainer.generate.ModelSource;
import io.github.qlora4j.trainer.model.BaseOptions;
import io.github.qlora4j.trainer.model.BaseSetup;
import java.nio.file.Path;
import java.util.Objects;
import java.util.Optional;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** The flags that say which model is used and how its base is read. */
final class ModelOptions {
    @Option(
            names = "--model",
            paramLabel = "DIR",
            description = "The base's directory; it is read as the flags below say.")
    private Path model;

    @Option(
            names = "--adapter",
            paramLabel = "DIR",
            description = "A run, one of its checkpoints, or any adapter in PEFT's format. Without --model the base and"
                    + " how it is read come from its files.")
    private Path adapter;

    @Option(
            names = "--dtype",
            paramLabel = "DTYPE",
            description = "Dtype the base is cast to: float32, bfloat16 or float16; config.json's by default.")
    private Precision dtype;

    @Mixin
    private FourBitOptions fourBit;

    @Mixin
    private PlacementFlags placement;

    @Option(names = "--threads", paramLabel = "N", description = "Threads of the products; all cores by default.")
    private Integer threads;

    /** Opens the model; with a template's name, that one takes the place of the run's. */
    LanguageModel open(BuiltinTemplate template) {
        ModelSource source = source();
        if (threads != null) {
            if (threads < 1) {
                throw new WrongUse("--threads is " + threads + "; at least 1 is expected");
            }
            Torch.setThreads(threads);
        }
        return template == null
                ? LanguageModel.open(source)
                : LanguageModel.open(source, Template.of(TemplateChoice.named(template)));
    }

    private ModelSource source() {
        if (model == null && adapter == null) {
            throw new WrongUse("which model? Give --model DIR, --adapter DIR, or both");
        }
        if (model == null) {
            if (dtype != null || fourBit.given()) {
                throw new WrongUse("with --adapter alone the base is read as its files say; the flags about the base"
                        + " (--dtype, --load-in-4bit, …) go with --model");
            }
            return placement.given() ? ModelSource.ofAdapter(adapter, placed(null)) : ModelSource.ofAdapter(adapter);
        }
        return new ModelSource(Optional.of(model), Optional.ofNullable(adapter), options());
    }

    private BaseOptions options() {
        fourBit.check();
        if (!fourBit.quantizes()) {
            return placed(null);
        }
        try {
            return placed(fourBit);
        } catch (QloraException e) {
            throw new WrongUse(e);
        }
    }

    private BaseOptions placed(FourBitOptions quantized) {
        ModelSection section =
                placement.section(model, Objects.requireNonNullElse(dtype, Precision.AUTO), quantized != null);
        return quantized == null
                ? BaseSetup.options(section, Optional.empty())
                : quantized.options(section, placement.fp32Offload());
    }
}
