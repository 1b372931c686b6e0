package io.github.qlora4j.trainer.config;

import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Optional;

/**
 * A whole run, checked: there is none whose values are out of range or contradict each other.
 *
 * <pre>{@code
 * RunConfig config = RunConfig.builder()
 *         .setModel(Path.of("models/llama"))
 *         .setTrain("alpaca.json")
 *         .setOutputDir(Path.of("runs/llama"))
 *         .optLoadIn4bit(true)
 *         .opt("lora.r", 16)
 *         .build();
 * }</pre>
 *
 * @param quantization null where the base is not quantized on loading, {@code load_in_4bit: false} included, and nothing is
 *     said of how it is stored
 */
public record RunConfig(
        @Key(value = "The base model.", orElse = "{}") ModelSection model,

        @Key("How the base is quantized; left out, it is not.")
        QuantizationSection quantization,

        @Key(value = "The adapter.", orElse = "{}") LoraSection lora,

        @Key(value = "The rows and how they become tokens.", orElse = "{}")
        DataSection data,

        @Key(value = "The training loop.", orElse = "{}") TrainingSection training) {

    /**
     * Checks every value and the rules between them.
     *
     * @throws ConfigException with every problem
     */
    public RunConfig {
        Objects.requireNonNull(model, "model");
        Objects.requireNonNull(lora, "lora");
        Objects.requireNonNull(data, "data");
        Objects.requireNonNull(training, "training");
        if (quantization != null
                && !quantization.loadIn4bit()
                && !quantization.loadIn8bit()
                && !quantization.stored().given()) {
            quantization = null;
        }
        Report report = new Report();
        List<Record> sections = Arrays.asList(model, quantization, lora, data, training);
        List<Keys.Entry> entries = Keys.of(RunConfig.class).entries();
        for (int i = 0; i < entries.size(); i++) {
            if (sections.get(i) != null) {
                entries.get(i)
                        .type()
                        .read(Nodes.record(sections.get(i)), entries.get(i).name(), report);
            }
        }
        report.throwIfAny();
        Rules.check(model, quantization, lora, data, training, (keys, text) -> report.add("", keys.get(0), text));
        report.throwIfAny();
    }

    /** The settings of the quantization, where the base is quantized on loading. */
    public Optional<QuantizationSection> quantized() {
        return Optional.ofNullable(quantization).filter(q -> q.loadIn4bit() || q.loadIn8bit());
    }

    /**
     * This configuration with one key changed.
     *
     * @param key with its section, such as {@code training.max_steps}
     * @param value as in {@link RunConfigBuilder#opt}
     * @throws ConfigException where key or value is wrong
     */
    public RunConfig with(String key, Object value) {
        return toBuilder().opt(key, value).build();
    }

    /** A builder that starts from this configuration. */
    public RunConfigBuilder toBuilder() {
        return new RunConfigBuilder(Nodes.record(this));
    }

    /** A builder that starts from the defaults. */
    public static RunConfigBuilder builder() {
        return new RunConfigBuilder(Nodes.mapping(List.of(), false));
    }
}
