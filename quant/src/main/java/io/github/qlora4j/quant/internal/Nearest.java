package io.github.qlora4j.quant.internal;

import java.util.Collection;
import java.util.Locale;
import java.util.Optional;

/** The known word that a mistyped one is closest to. */
public final class Nearest {

    private static final int LONGEST = 64;

    private Nearest() {}

    /** The closest of the words, where one is close enough to have been meant. */
    public static Optional<String> of(String typed, Collection<String> words) {
        String plain = plain(typed);
        if (plain.isEmpty() || plain.length() > LONGEST) {
            return Optional.empty();
        }
        String best = null;
        int least = 1 + Math.max(1, plain.length() / 3);
        for (String word : words) {
            int distance = EditDistance.between(plain, plain(word));
            // "a" is not a mistyped "r": something of the word must be there
            if (distance < least
                    && distance < Math.max(plain.length(), plain(word).length())) {
                least = distance;
                best = word;
            }
        }
        return Optional.ofNullable(best);
    }

    /** {@code "; did you mean X?"}, or nothing. */
    public static String hint(String typed, Collection<String> words) {
        return of(typed, words).map(w -> "; did you mean " + w + "?").orElse("");
    }

    /** Case, hyphens and underscores do not count: {@code learningRate} is {@code learning_rate}. */
    public static String plain(String word) {
        return word.toLowerCase(Locale.ROOT).replaceAll("[^a-z0-9]", "");
    }
}
