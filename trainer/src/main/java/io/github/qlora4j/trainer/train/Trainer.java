package io.github.qlora4j.trainer.train;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.trainer.config.LoadedConfig;
import io.github.qlora4j.trainer.config.RunConfig;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Trains an adapter as a configuration says.
 *
 * <pre>{@code
 * RunConfig config = RunConfig.builder()
 *         .setModel(Path.of("models/llama"))
 *         .setTrain("alpaca.json")
 *         .setOutputDir(Path.of("runs/llama"))
 *         .build();
 * Trainer trainer = Trainer.builder().setConfig(config).build();
 * TrainingResult result = trainer.train();
 * }</pre>
 *
 * <p>It prints nothing: a {@link RunListener} follows the run. Everything that a run opens is closed when {@link #train}
 * returns. {@link #cancel} may be called from any thread.
 */
public final class Trainer {

    /** What to do where {@code output_dir} holds a run already. */
    public enum Start {
        /** It is an error. */
        NEW,
        /** Go on from its newest whole checkpoint; start anew where there is none. */
        RESUME,
        /** Delete what it left and start anew. */
        OVERWRITE
    }

    private final LoadedConfig config;
    private final RunListener listener;
    private final Start start;
    private final AtomicBoolean cancelled = new AtomicBoolean();

    private Trainer(Builder builder) {
        this.config = builder.config;
        this.listener = builder.listener;
        this.start = builder.start;
    }

    /** A builder; {@link Builder#setConfig} is required. */
    public static Builder builder() {
        return new Builder();
    }

    /**
     * Runs to the end, or until it is cancelled.
     *
     * @throws QloraException if the configuration, the data, the model or the disk does not allow it, or the loss is not
     *     finite; the message says what to do
     */
    public TrainingResult train() {
        try (Run run = Run.open(config, start, listener)) {
            return run.train(cancelled);
        }
    }

    /**
     * Asks the run to save a checkpoint after the step it is in, and to stop. An evaluation is broken off, and made when
     * the run goes on; so are answers before the first step, with which nothing is saved, and answers after the last.
     */
    public void cancel() {
        cancelled.set(true);
    }

    /** Builds a {@link Trainer}. */
    public static final class Builder {

        private LoadedConfig config;
        private RunListener listener = new RunListener() {};
        private Start start = Start.NEW;

        private Builder() {}

        /** Sets what to train; required. */
        public Builder setConfig(RunConfig config) {
            return setConfig(new LoadedConfig(config, Set.of(), "the program's configuration"));
        }

        /** Sets what to train, with the keys that the user wrote; required. */
        public Builder setConfig(LoadedConfig config) {
            this.config = config;
            return this;
        }

        /** Sets who follows the run; nobody by default. */
        public Builder optListener(RunListener listener) {
            this.listener = listener;
            return this;
        }

        /** Sets what to do with a used output directory; an error by default. */
        public Builder optStart(Start start) {
            this.start = start;
            return this;
        }

        /** The trainer. */
        public Trainer build() {
            if (config == null) {
                throw new IllegalStateException("setConfig is required");
            }
            return new Trainer(this);
        }
    }
}
