package io.github.qlora4j.trainer.train;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.trainer.config.ConfigFile;
import io.github.qlora4j.trainer.config.QuantizationSection;
import io.github.qlora4j.trainer.config.ResolvedYaml;
import io.github.qlora4j.trainer.config.RunConfig;
import io.github.qlora4j.trainer.config.SchedulerType;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** The checkpoint that a run goes on from. */
record ResumePoint(Path checkpoint, RunState state) {

    /** Keys that change what is shown, kept or held in memory, but no number that is trained. */
    private static final Set<String> HARMLESS = Set.of(
            "model.path",
            "model.device_map",
            "model.max_memory",
            "model.offload_folder",
            "data.train",
            "data.eval",
            "data.cache_dir",
            "quantization.kernel",
            "training.output_dir",
            "training.per_device_eval_batch_size",
            "training.paged_resident",
            "training.gradient_checkpointing",
            "training.memory_budget",
            "training.logging_strategy",
            "training.logging_steps",
            "training.eval_strategy",
            "training.eval_steps",
            "training.save_strategy",
            "training.save_steps",
            "training.save_total_limit",
            "training.load_best_model_at_end",
            "training.early_stopping_patience",
            "training.early_stopping_threshold",
            "training.predict_with_generate",
            "training.generation_max_new_tokens");

    /** Keys that a run with a constant learning rate may change, to go on for longer. */
    private static final Set<String> LENGTH = Set.of("training.max_steps", "training.num_train_epochs");

    /** The newest whole checkpoint; damaged ones are told to the listener and passed over. */
    static Optional<ResumePoint> newest(RunDirectory directory, RunListener listener) {
        for (Path checkpoint : directory.checkpoints()) {
            try {
                return Optional.of(new ResumePoint(checkpoint, Checkpoint.verify(checkpoint)));
            } catch (QloraException e) {
                listener.warning("not resuming from " + checkpoint.getFileName() + ": " + e.getMessage());
            }
        }
        return Optional.empty();
    }

    /**
     * Compares the run that was saved with the one that is asked for.
     *
     * @throws QloraException if something differs that would change the result
     */
    void check(RunConfig now, String data, String base, RunListener listener) {
        RunConfig before = ConfigFile.parse(
                        state.config(),
                        checkpoint.resolve(RunDirectory.RESOLVED).toString(),
                        List.of())
                .config();
        boolean constant = now.training().lrSchedulerType() == SchedulerType.CONSTANT
                || now.training().lrSchedulerType() == SchedulerType.CONSTANT_WITH_WARMUP
                        && now.training().warmupRatio() == 0;
        List<String> refused = new ArrayList<>();
        for (ResolvedYaml.Difference difference : ResolvedYaml.diff(before, now)) {
            String line = difference.key() + ": was " + difference.before() + ", is " + difference.now();
            // under this flag the map says what is quantized
            boolean map = difference.key().equals("model.device_map")
                    && now.quantized()
                            .map(QuantizationSection::llmInt8EnableFp32CpuOffload)
                            .orElse(false);
            if (HARMLESS.contains(difference.key()) && !map || constant && LENGTH.contains(difference.key())) {
                listener.warning("resuming with another " + line);
            } else {
                refused.add(line);
            }
        }
        if (!state.data().equals(data)) {
            refused.add("the training rows are not the ones that " + checkpoint.getFileName() + " was trained on");
        }
        if (!state.base().equals(base)) {
            refused.add("the base model's files are not the ones that " + checkpoint.getFileName() + " was trained on");
        }
        if (!refused.isEmpty()) {
            throw new QloraException(
                    "cannot resume from " + checkpoint + ": the result would not be the same run's:\n  "
                            + String.join("\n  ", refused)
                            + "\n  Set these back, or start anew with --overwrite or another training.output_dir.");
        }
    }
}
