package io.github.qlora4j.trainer.config;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.Test;

class FoundTest {

    @Test
    void textIsShownOnOneLineAndCut() {
        assertThat(Found.shown("a\nb\tc\u0001d\u009fe")).isEqualTo("a\\nb\\tc\\u0001d\\u009fe");
        assertThat(Found.shown("🙂".repeat(60))).isEqualTo("🙂".repeat(60));
        assertThat(Found.shown("🙂".repeat(61))).isEqualTo("🙂".repeat(60) + "…");
        assertThat(Found.shown("abc", 2)).isEqualTo("ab…");
    }

    @Test
    void fiftyProblemsAreShownAndTheOthersCounted() {
        Problem problem = new Problem("f.yaml:1:1", "a", "wrong");
        assertThat(new ConfigException(Collections.nCopies(50, problem))
                        .getMessage()
                        .lines())
                .hasSize(50);
        ConfigException more = new ConfigException(Collections.nCopies(52, problem));
        assertThat(more.getMessage().lines().toList()).hasSize(51).endsWith("… and 2 more problems");
        assertThat(more.problems()).hasSize(52);
        assertThat(new ConfigException(List.of(problem)).getMessage()).isEqualTo(problem.toString());
    }

    @Test
    void boundsSayWhatTheyTake() {
        assertThat(bounds(0, 1, false, true).expected("a number")).isEqualTo("a number of at least 0 and below 1");
        assertThat(bounds(0.5, Double.POSITIVE_INFINITY, true, false).expected("a number"))
                .isEqualTo("a number above 0.5");
        assertThat(bounds(Double.NEGATIVE_INFINITY, 1e6, false, false).expected("a number"))
                .isEqualTo("a number at most 1000000");
        assertThat(Bounds.of(null).expected("a number")).isEqualTo("a number");
        assertThat(new Bounds(0, 0, false, false, List.of(1, 2)).expected("a number"))
                .isEqualTo("one of 1, 2");
    }

    @Test
    void boundsHoldAtTheirEnds() {
        assertThat(bounds(0, 1, false, false).holds(0)).isTrue();
        assertThat(bounds(0, 1, false, false).holds(1)).isTrue();
        assertThat(bounds(0, 1, true, true).holds(0)).isFalse();
        assertThat(bounds(0, 1, true, true).holds(1)).isFalse();
        assertThat(bounds(0, 1, true, true).holds(0.5)).isTrue();
        assertThat(Bounds.of(null).holds(Double.POSITIVE_INFINITY)).isFalse();
        assertThat(new Bounds(0, 9, false, false, List.of(1, 2)).holds(3)).isFalse();
        assertThat(new Bounds(5, 9, false, false, List.of(1, 2)).holds(2)).isTrue();
    }

    private static Bounds bounds(double min, double max, boolean aboveMin, boolean belowMax) {
        return new Bounds(min, max, aboveMin, belowMax, List.of());
    }
}
