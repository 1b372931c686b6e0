package io.github.qlora4j.trainer.generate;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.trainer.data.Template;
import io.github.qlora4j.trainer.model.BaseOptions;
import java.nio.file.Path;
import java.util.Optional;

/** Says what {@link LanguageModel} to open: {@code set…} is needed, {@code opt…} may be left out. */
public final class LanguageModelBuilder {

    private Path model;
    private Path adapter;
    private BaseOptions options;
    private Template template;

    LanguageModelBuilder() {}

    /** A run's {@code output_dir}, one of its checkpoints, or an adapter directory of peft's. */
    public LanguageModelBuilder setAdapter(Path directory) {
        this.adapter = directory;
        return this;
    }

    /** The base's directory; needed where there is no adapter, or its base was moved. */
    public LanguageModelBuilder setModel(Path directory) {
        this.model = directory;
        return this;
    }

    /** How the base of {@link #setModel} is read; as it is stored where this is left out. */
    public LanguageModelBuilder optBase(BaseOptions how) {
        this.options = how;
        return this;
    }

    /** The words around an instruction, in place of the run's. */
    public LanguageModelBuilder optTemplate(Template words) {
        this.template = words;
        return this;
    }

    /**
     * Opens it; the caller closes it.
     *
     * @throws QloraException if something is missing or does not fit
     */
    public LanguageModel build() {
        if (model == null && options != null) {
            throw new QloraException(
                    "how the base is read comes from the adapter's own files; optBase goes with setModel");
        }
        ModelSource source = new ModelSource(
                Optional.ofNullable(model),
                Optional.ofNullable(adapter),
                options == null ? BaseOptions.unquantized() : options);
        return template == null ? LanguageModel.open(source) : LanguageModel.open(source, template);
    }
}
