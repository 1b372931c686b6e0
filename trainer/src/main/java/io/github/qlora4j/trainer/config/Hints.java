package io.github.qlora4j.trainer.config;

import io.github.qlora4j.quant.internal.Nearest;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/** What an unknown key or value may have meant: other tools' names, other sections, near misses. */
final class Hints {

    private static final Map<String, String> RENAMED = new LinkedHashMap<>();
    private static final Map<String, String> SAID = new LinkedHashMap<>();
    private static final Map<String, String> VALUES = Map.of(
            "bf16",
            "bfloat16",
            "fp16",
            "float16",
            "half",
            "float16",
            "fp32",
            "float32",
            "float",
            "float32",
            "bnb",
            "bitsandbytes");

    static {
        renamed("model.path", "model_name_or_path", "base_model", "model_path", "model_name", "pretrained_model");
        renamed("model.dtype", "torch_dtype");
        renamed("quantization.bnb_4bit_quant_type", "quant_type");
        renamed("quantization.bnb_4bit_use_double_quant", "double_quant", "double_quantization", "use_double_quant");
        renamed("quantization.bnb_4bit_compute_dtype", "compute_dtype");
        renamed("quantization.blocksize", "block_size", "bnb_4bit_blocksize");
        renamed("quantization.llm_int8_skip_modules", "skip_modules", "modules_to_not_convert");
        renamed("lora.r", "lora_r", "rank", "lora_rank");
        renamed("lora.lora_alpha", "alpha");
        renamed("lora.lora_dropout", "dropout");
        renamed("lora.target_modules", "lora_target_modules", "lora_target", "targets", "lora_modules");
        renamed("lora.adapter", "lora_model_dir", "adapter_name_or_path", "adapter_path");
        renamed("data.train", "train_file", "dataset", "datasets", "train_data", "data_path", "dataset_path");
        renamed("data.eval", "eval_file", "validation", "validation_file", "eval_dataset", "test_datasets", "valid");
        renamed("data.eval_fraction", "val_size", "val_set_size", "validation_split", "eval_split", "test_size");
        renamed("data.template", "prompt_template", "chat_template", "prompt_style");
        renamed("data.max_length", "max_seq_length", "max_seq_len", "sequence_len", "cutoff_len", "model_max_length");
        renamed("data.packing", "sample_packing", "pack");
        renamed("data.train_on_prompt", "train_on_inputs", "train_on_input");
        renamed("training.output_dir", "output", "out_dir", "output_path");
        renamed("training.per_device_train_batch_size", "batch_size", "micro_batch_size", "train_batch_size");
        renamed("training.per_device_eval_batch_size", "eval_batch_size");
        renamed(
                "training.gradient_accumulation_steps",
                "gradient_accumulation",
                "grad_accum",
                "grad_accumulation_steps");
        renamed("training.num_train_epochs", "epochs", "num_epochs");
        renamed("training.max_steps", "steps", "num_steps");
        renamed("training.learning_rate", "lr");
        renamed("training.lr_scheduler_type", "lr_scheduler", "scheduler");
        renamed("training.optim", "optimizer", "optimiser");
        renamed("training.max_grad_norm", "gradient_clipping", "grad_clip", "clip_grad_norm", "gradient_clip_val");
        renamed("training.adam_beta1", "beta1");
        renamed("training.adam_beta2", "beta2");
        renamed("training.adam_epsilon", "eps", "epsilon", "adam_eps");
        renamed("training.eval_strategy", "evaluation_strategy");
        renamed("training.threads", "num_threads", "torch_threads");
        renamed("training.gradient_checkpointing", "activation_checkpointing", "use_gradient_checkpointing");
        renamed("training.seed", "random_seed");
        said("the dtype of the products is quantization.bnb_4bit_compute_dtype", "bf16", "fp16", "tf32");
        said("resuming is an option of the command: train CONFIG --resume", "resume_from_checkpoint", "resume");
        said("overwriting is an option of the command: train CONFIG --overwrite", "overwrite_output_dir");
        said("eval_loss is the only metric, and smaller is better", "greater_is_better");
        said("DoRA is not supported", "use_dora");
    }

    private Hints() {}

    /** Says that a key is not known in a section, and what may have been meant. */
    static String unknown(String name, String section, Map<String, Keys.Entry> known) {
        if (name == null) {
            return "expected the name of a key; got a list or a map";
        }
        if (SAID.containsKey(name)) {
            return "unknown key; " + SAID.get(name);
        }
        String plain = Nearest.plain(name);
        String prefix = section.isEmpty() ? "" : section + ".";
        if (known.keySet().stream().noneMatch(k -> Nearest.plain(k).equals(plain))) {
            if (RENAMED.containsKey(plain)) {
                return "unknown key; here it is called " + own(RENAMED.get(plain), prefix);
            }
            Optional<String> elsewhere = allKeys().stream()
                    .filter(k -> k.endsWith("." + name) && !k.equals(prefix + name))
                    .findFirst();
            if (elsewhere.isPresent()) {
                String key = elsewhere.get();
                return "unknown key here; it belongs under " + key.substring(0, key.lastIndexOf('.'));
            }
        }
        return Nearest.of(name, known.keySet())
                .or(() -> nearestElsewhere(name))
                .map(near -> "unknown key; did you mean " + near + "?")
                .orElseGet(() -> "unknown key; here stand " + String.join(", ", known.keySet()));
    }

    /** What a value may have meant. */
    static String ofValue(String typed, Collection<String> values) {
        String meant = VALUES.get(typed.toLowerCase(Locale.ROOT));
        return meant != null && values.contains(meant) ? "; did you mean " + meant + "?" : Nearest.hint(typed, values);
    }

    /** Every key of the configuration with its section, in order; sections themselves left out. */
    static List<String> allKeys() {
        List<String> keys = new ArrayList<>();
        for (Keys.Entry section : Keys.of(RunConfig.class).entries()) {
            for (Keys.Entry entry : Keys.of(section.component().getType()).entries()) {
                keys.add(section.name() + "." + entry.name());
            }
        }
        return keys;
    }

    private static Optional<String> nearestElsewhere(String name) {
        Map<String, String> byLast = new LinkedHashMap<>();
        allKeys().forEach(k -> byLast.putIfAbsent(k.substring(k.indexOf('.') + 1), k));
        return Nearest.of(name, byLast.keySet()).map(byLast::get);
    }

    private static String own(String key, String prefix) {
        return !prefix.isEmpty() && key.startsWith(prefix) ? key.substring(prefix.length()) : key;
    }

    private static void renamed(String key, String... names) {
        for (String name : names) {
            RENAMED.put(Nearest.plain(name), key);
        }
    }

    private static void said(String text, String... names) {
        for (String name : names) {
            SAID.put(name, text);
        }
    }
}
