package io.github.qlora4j.quant.internal;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;

class NearestTest {

    @Test
    void aWordThatIsNotClose_wasNotMeant() {
        assertThat(Nearest.of("lerning-Rate", List.of("seed", "learning_rate"))).contains("learning_rate");
        // up to a third of the letters may be wrong, and one always
        assertThat(Nearest.of("abcdef", List.of("abcdxy"))).contains("abcdxy");
        assertThat(Nearest.of("abcdef", List.of("abcxyz"))).isEmpty();
        assertThat(Nearest.of("ab", List.of("ax"))).contains("ax");
        assertThat(Nearest.of("ab", List.of("abcd"))).isEmpty();
        assertThat(Nearest.of("a", List.of("r"))).isEmpty();
        assertThat(Nearest.of("--", List.of("r"))).isEmpty();
        assertThat(Nearest.of("seeds", List.of("send", "seed", "seedy"))).contains("seed");
        assertThat(Nearest.of("x".repeat(64), List.of("x".repeat(63)))).isPresent();
        assertThat(Nearest.of("x".repeat(65), List.of("x".repeat(64)))).isEmpty();
        assertThat(Nearest.hint("sed", List.of("seed"))).isEqualTo("; did you mean seed?");
        assertThat(Nearest.hint("sed", List.of())).isEmpty();
    }
}
