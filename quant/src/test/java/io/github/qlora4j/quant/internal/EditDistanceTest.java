package io.github.qlora4j.quant.internal;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class EditDistanceTest {

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
        assertThat(EditDistance.between(a, b)).isEqualTo(edits);
        assertThat(EditDistance.between(b, a)).isEqualTo(edits);
    }
}
