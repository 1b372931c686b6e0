package io.github.qlora4j.trainer.optim;

import ai.djl.ndarray.NDArray;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.regex.Pattern;

/**
 * A tensor that an optimizer updates in place.
 *
 * @param name its name in checkpoints and messages, such as {@code base_model.model….lora_A.weight}
 * @param value float32, bfloat16 or float16, on the CPU, contiguous; it stays the caller's
 * @param decayed whether weight decay applies to it
 */
public record Parameter(String name, NDArray value, boolean decayed) {

    // transformers/trainer.py, get_decay_parameter_names
    private static final List<Pattern> NOT_DECAYED = List.of(
            Pattern.compile("bias"),
            Pattern.compile("layernorm"),
            Pattern.compile("rmsnorm"),
            Pattern.compile("(?:^|\\.)norm(?:$|\\.)"),
            Pattern.compile("_norm(?:$|\\.)"));

    /** Refuses nulls. */
    public Parameter {
        Objects.requireNonNull(name, "name");
        Objects.requireNonNull(value, "value");
    }

    /** A parameter that decays unless its name says bias or norm, as transformers' Trainer decides. */
    public Parameter(String name, NDArray value) {
        this(name, value, decays(name));
    }

    /** Whether transformers' Trainer would apply weight decay to a parameter of this name. */
    public static boolean decays(String name) {
        String lower = name.toLowerCase(Locale.ROOT);
        return NOT_DECAYED.stream().noneMatch(p -> p.matcher(lower).find());
    }
}
