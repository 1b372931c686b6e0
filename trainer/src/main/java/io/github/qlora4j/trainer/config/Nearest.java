package io.github.qlora4j.trainer.config;

import java.util.Collection;
import java.util.Locale;
import java.util.Optional;

/** The known word that a mistyped one is closest to. */
final class Nearest {

    private static final int LONGEST = 64;

    private Nearest() {}

    /** The closest of the words, where one is close enough to have been meant. */
    static Optional<String> of(String typed, Collection<String> words) {
        String plain = plain(typed);
        if (plain.isEmpty() || plain.length() > LONGEST) {
            return Optional.empty();
        }
        String best = null;
        int least = 1 + Math.max(1, plain.length() / 3);
        for (String word : words) {
            int distance = distance(plain, plain(word));
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
    static String hint(String typed, Collection<String> words) {
        return of(typed, words).map(w -> "; did you mean " + w + "?").orElse("");
    }

    /** Case, hyphens and underscores do not count: {@code learningRate} is {@code learning_rate}. */
    static String plain(String word) {
        return word.toLowerCase(Locale.ROOT).replaceAll("[^a-z0-9]", "");
    }

    /** Edits from one to the other: insert, delete, replace, or swap two neighbours. */
    static int distance(String a, String b) {
        int[][] d = new int[a.length() + 1][b.length() + 1];
        for (int i = 0; i <= a.length(); i++) {
            for (int j = 0; j <= b.length(); j++) {
                if (i == 0 || j == 0) {
                    d[i][j] = i + j;
                    continue;
                }
                int cost = a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1;
                d[i][j] = Math.min(Math.min(d[i - 1][j], d[i][j - 1]) + 1, d[i - 1][j - 1] + cost);
                if (i > 1 && j > 1 && a.charAt(i - 1) == b.charAt(j - 2) && a.charAt(i - 2) == b.charAt(j - 1)) {
                    d[i][j] = Math.min(d[i][j], d[i - 2][j - 2] + 1);
                }
            }
        }
        return d[a.length()][b.length()];
    }
}
