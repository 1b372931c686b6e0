package io.github.qlora4j.peft;

import io.github.qlora4j.quant.internal.EditDistance;
import java.util.Collection;
import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/** Finds what a misspelt module name may have meant. */
final class NearestNames {

    /** Letters that are compared; no module has a longer name. */
    private static final int LONGEST = 256;

    private NearestNames() {}

    /** Returns up to three suffixes of module names, of as many dotted parts as {@code wrong} has, nearest first. */
    static List<String> of(String wrong, Collection<String> modules) {
        String typed = wrong.substring(0, Math.min(wrong.length(), LONGEST));
        int parts = wrong.split("\\.", -1).length;
        Set<String> suffixes = new LinkedHashSet<>();
        for (String module : modules) {
            suffixes.add(lastParts(module, parts));
        }
        suffixes.removeIf(s -> s.chars().allMatch(c -> c == '.' || Character.isDigit(c)));
        return suffixes.stream()
                .sorted(Comparator.comparingInt((String s) -> EditDistance.between(typed, s))
                        .thenComparing(s -> s))
                .limit(3)
                .toList();
    }

    private static String lastParts(String name, int parts) {
        int from = name.length();
        for (int i = 0; i < parts && from > 0; i++) {
            from = name.lastIndexOf('.', from - 1);
        }
        return from <= 0 ? name : name.substring(from + 1);
    }
}
