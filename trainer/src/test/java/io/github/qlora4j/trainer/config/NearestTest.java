package io.github.qlora4j.trainer.config;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class NearestTest {

    @ParameterizedTest
    @CsvSource({
        "'', '', 0",
        "a, '', 1",
        "'', ab, 2",
        "same, same, 0",
        "kitten, sitting, 3",
        "ab, ba, 1",
        "abcd, acbd, 1",
        "abc, cab, 2",
        "seed, sede, 1",
        "flaw, lawn, 2",
    })
    void edits_areInsertionsDeletionsReplacementsAndSwaps(String a, String b, int edits) {
        assertThat(Nearest.distance(a, b)).isEqualTo(edits);
        assertThat(Nearest.distance(b, a)).isEqualTo(edits);
    }

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
