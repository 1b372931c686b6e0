package io.github.qlora4j.trainer.config;

import java.nio.file.Path;
import java.util.List;
import org.snakeyaml.engine.v2.nodes.Node;

/**
 * Builds a {@link RunConfig} in Java; what is left out has the file's defaults, and the file's checks hold.
 *
 * <p>The usual keys have a method, and {@link #opt(String, Object)} sets any. Nothing is checked before {@link #build()},
 * which names every problem at once.
 */
public final class RunConfigBuilder {

    private Node tree;

    RunConfigBuilder(Node tree) {
        this.tree = tree;
    }

    /** Sets the directory of the base model: {@code model.path}. */
    public RunConfigBuilder setModel(Path directory) {
        return opt("model.path", directory);
    }

    /** Sets the training rows, files or globs: {@code data.train}. */
    public RunConfigBuilder setTrain(String... files) {
        return opt("data.train", List.of(files));
    }

    /** Sets the directory of the run: {@code training.output_dir}. */
    public RunConfigBuilder setOutputDir(Path directory) {
        return opt("training.output_dir", directory);
    }

    /** Sets the evaluation rows, files or globs: {@code data.eval}. */
    public RunConfigBuilder optEval(String... files) {
        return opt("data.eval", List.of(files));
    }

    /** Quantizes the base to 4 bits, or not (the default in Java as in a file without the section). */
    public RunConfigBuilder optLoadIn4bit(boolean load) {
        return opt("quantization.load_in_4bit", load);
    }

    /** Quantizes the base to 8 bits by LLM.int8(), or not. */
    public RunConfigBuilder optLoadIn8bit(boolean load) {
        return opt("quantization.load_in_8bit", load);
    }

    /** Sets the adapter's rank: {@code lora.r}. */
    public RunConfigBuilder optR(int r) {
        return opt("lora.r", r);
    }

    /** Sets the adapter's scale: {@code lora.lora_alpha}. */
    public RunConfigBuilder optLoraAlpha(int alpha) {
        return opt("lora.lora_alpha", alpha);
    }

    /** Sets the layers that get an adapter, by name: {@code lora.target_modules}. */
    public RunConfigBuilder optTargetModules(String... names) {
        return opt("lora.target_modules", List.of(names));
    }

    /** Sets how a row becomes prompt and answer: {@code data.template}. */
    public RunConfigBuilder optTemplate(TemplateChoice template) {
        return opt("data.template", template);
    }

    /** Sets how many tokens a row may have: {@code data.max_length}. */
    public RunConfigBuilder optMaxLength(int tokens) {
        return opt("data.max_length", tokens);
    }

    /** Sets the rows of one pass: {@code training.per_device_train_batch_size}. */
    public RunConfigBuilder optBatchSize(int rows) {
        return opt("training.per_device_train_batch_size", rows);
    }

    /** Sets the passes of one step: {@code training.gradient_accumulation_steps}. */
    public RunConfigBuilder optGradientAccumulationSteps(int passes) {
        return opt("training.gradient_accumulation_steps", passes);
    }

    /** Sets how often the rows are gone through: {@code training.num_train_epochs}. */
    public RunConfigBuilder optEpochs(double epochs) {
        return opt("training.num_train_epochs", epochs);
    }

    /** Sets the last step: {@code training.max_steps}. */
    public RunConfigBuilder optMaxSteps(int steps) {
        return opt("training.max_steps", steps);
    }

    /** Sets the highest learning rate: {@code training.learning_rate}. */
    public RunConfigBuilder optLearningRate(double rate) {
        return opt("training.learning_rate", rate);
    }

    /** Sets the optimizer: {@code training.optim}. */
    public RunConfigBuilder optOptim(OptimizerName optimizer) {
        return opt("training.optim", optimizer);
    }

    /** Sets the seed: {@code training.seed}. */
    public RunConfigBuilder optSeed(int seed) {
        return opt("training.seed", seed);
    }

    /**
     * Sets any key.
     *
     * @param key with its section, such as {@code training.max_steps}
     * @param value a boolean, number, text, path, enum constant, list, map, or one of this package's types; null is the
     *     YAML's
     * @throws IllegalArgumentException for a Java type that no key takes
     */
    public RunConfigBuilder opt(String key, Object value) {
        tree = Overrides.set(tree, key, Nodes.of(value), Nodes.NOWHERE);
        return this;
    }

    /**
     * Sets a key from text, as {@code --set} of the command line does.
     *
     * @param option {@code section.key=value}, the value being YAML
     * @throws ConfigException where it is not of that form
     */
    public RunConfigBuilder optFrom(String option) {
        Report report = new Report();
        tree = Overrides.apply(tree, List.of(option), report);
        report.throwIfAny();
        return this;
    }

    /**
     * Checks everything and builds.
     *
     * @throws ConfigException with every problem
     */
    public RunConfig build() {
        return load().config();
    }

    /**
     * As {@link #build()}, and remembers which keys were set.
     *
     * @throws ConfigException with every problem
     */
    public LoadedConfig load() {
        return ConfigFile.bind(tree, "the configuration", List.of());
    }
}
