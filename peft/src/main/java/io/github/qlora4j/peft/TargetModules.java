package io.github.qlora4j.peft;

import io.github.qlora4j.quant.QloraException;
import java.util.List;
import java.util.Locale;
import java.util.Objects;

/** Which modules of a base get an adapter (peft's {@code target_modules}). */
public sealed interface TargetModules {

    /** Modules whose name is one of these, or ends with a dot and one of these. An empty list matches nothing. */
    record Names(List<String> names) implements TargetModules {
        /** Keeps the order given and drops doubles, as the set in peft does. */
        public Names {
            names = names.stream().distinct().toList();
            if (names.stream().anyMatch(String::isBlank)) {
                throw new QloraException("target_modules holds an empty name. Remove it.");
            }
        }
    }

    /**
     * Modules whose whole name matches a regular expression, as Python's {@code re.fullmatch}.
     *
     * <p>Java's engine reads it. Python's {@code (?P<n>…)}, {@code (?P=n)} and {@code \Z} are understood; conditional
     * groups {@code (?(1)…)} do not exist in Java and are an error.
     */
    record Regex(String pattern) implements TargetModules {
        /** Checks that the expression can be read. */
        public Regex {
            Objects.requireNonNull(pattern, "pattern");
            PythonRegex.compile(pattern, "target_modules");
        }
    }

    /** Every linear module but the output head ({@code all-linear}). */
    record AllLinear() implements TargetModules {}

    /** peft's choice for the base's {@code model_type}, read from its table. */
    record ModelDefault() implements TargetModules {}

    /** A list of names. */
    static TargetModules names(String... names) {
        return new Names(List.of(names));
    }

    /** A string as peft reads it: {@code all-linear} in any case, else a regular expression. */
    static TargetModules ofString(String text) {
        return text.toLowerCase(Locale.ROOT).equals("all-linear") ? new AllLinear() : new Regex(text);
    }

    /**
     * Finds the modules that get an adapter, in the order of {@code modules}, exactly as peft 0.21 matches.
     *
     * <p>One rule is stricter: a name of a list that matches no module is an error even where others match.
     *
     * @param config the configuration: targets, exclusions, layers and patterns
     * @param modules every module of the base, containers and norms too if a wrong match on them shall be told
     * @param modelType {@code model_type} of the base's config.json, for {@link ModelDefault}; may be null
     * @return at least one target
     * @throws QloraException if nothing matches (the message has the nearest names), or a match is not linear
     */
    static List<Target> resolve(LoraConfig config, List<ModuleInfo> modules, String modelType) {
        return new TargetMatching(config, modelType).resolve(modules, true);
    }

    /**
     * Finds the modules that are trained whole ({@code modules_to_save}), in the order of {@code modules}.
     *
     * <p>As in peft a module is meant if its name ends with an entry. An entry that matches nothing is an error.
     */
    static List<ModuleInfo> resolveModulesToSave(LoraConfig config, List<ModuleInfo> modules) {
        return TargetMatching.modulesToSave(config, modules);
    }
}
