package io.github.qlora4j.trainer.model;

import io.github.qlora4j.peft.PythonRegex;
import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Which linear layers a quantizer leaves as they are: {@code llm_int8_skip_modules} as transformers 5.23 reads it.
 *
 * <p>Without a list the head stays. A list takes the place of that, so that the head is quantized too unless it is named.
 * An entry means a module whose name ends with it, whatever stands before ({@code proj} means all of them), or whose name
 * begins with it as with a regular expression, up to a dot or the end: {@code model.layers.1} is the second block and not the
 * twelfth. Source: {@code should_convert_module} and {@code HfQuantizer.get_modules_to_not_convert}.
 */
public final class SkipModules {

    private static final List<String> HEAD = List.of("lm_head");
    private static final String BOUNDARY = "(?:(?<=\\.)|(?=\\.|$))";

    /** No list: the head stays. A head that is tied is the embeddings, which are never quantized. */
    public static final SkipModules DEFAULT = new SkipModules(Optional.empty());

    private final Optional<List<String>> list;
    private final List<String> entries;
    private final List<Pattern> beginnings;

    private SkipModules(Optional<List<String>> list) {
        this.list = list;
        this.entries = list.orElse(HEAD);
        this.beginnings = entries.stream()
                .map(entry -> PythonRegex.compile("(?:" + entry + ")" + BOUNDARY, "llm_int8_skip_modules"))
                .toList();
    }

    /**
     * The modules of a list, and no others.
     *
     * @throws io.github.qlora4j.quant.QloraException if an entry is not a regular expression
     */
    public static SkipModules of(List<String> list) {
        return new SkipModules(Optional.of(List.copyOf(list)));
    }

    /**
     * The head and the modules of a list: how AWQ's {@code modules_to_not_convert} is read.
     *
     * @throws io.github.qlora4j.quant.QloraException if an entry is not a regular expression
     */
    public static SkipModules headAnd(List<String> list) {
        return of(Stream.concat(HEAD.stream(), list.stream()).toList());
    }

    /** Whether a module, {@code model.layers.0.mlp.up_proj} for instance, stays as it is. */
    public boolean keeps(String module) {
        return entries.stream().anyMatch(module::endsWith)
                || beginnings.stream()
                        .anyMatch(pattern -> pattern.matcher(module).lookingAt());
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof SkipModules skips && skips.list.equals(list);
    }

    @Override
    public int hashCode() {
        return list.hashCode();
    }

    @Override
    public String toString() {
        return list.map(List::toString).orElse("the head");
    }
}
