package io.github.qlora4j.trainer.config;

import java.util.List;

/** Which linear layers get an adapter: {@code lora.target_modules}. */
public sealed interface TargetModules {

    /** Modules whose name is, or ends in a dot and, one of these. */
    record Names(List<String> names) implements TargetModules {
        /** Copies the list. */
        public Names {
            names = List.copyOf(names);
        }
    }

    /** Modules whose whole name this regular expression matches, as Python's {@code re.fullmatch} does. */
    record Regex(String pattern) implements TargetModules {}

    /** Every linear layer but the head: {@code all-linear}. */
    record AllLinear() implements TargetModules {}

    /** peft's own choice for the model type: {@code null}. */
    record ModelDefault() implements TargetModules {}

    /** Modules of these names. */
    static TargetModules names(String... names) {
        return new Names(List.of(names));
    }
}
