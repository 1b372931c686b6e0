package io.github.qlora4j.quant.scheme;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import org.junit.jupiter.api.Test;

class FidelityTest {

    private static final Fidelity ONE = Fidelity.of(new float[] {1, -2, 3}, new float[] {1.5f, -2, 2}, 24);

    @Test
    void errorsAreMeasuredByElement() {
        assertThat(ONE).isEqualTo(new Fidelity(3, 0.25 + 1, 1 + 4 + 9, 1, 24));
        assertThat(ONE.mse()).isEqualTo(1.25 / 3);
        assertThat(ONE.snrDb()).isCloseTo(10 * Math.log10(14 / 1.25), within(1e-12));
        assertThat(ONE.bitsPerWeight()).isEqualTo(8);
        assertThat(Fidelity.of(new float[] {1}, new float[] {1}, 4).snrDb()).isInfinite();
        assertThatThrownBy(() -> Fidelity.of(new float[2], new float[3], 0))
                .isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void tensorsTogetherAreTheSumOfBoth_andTheLargerOfTheLargestErrors() {
        Fidelity other = Fidelity.of(new float[] {4}, new float[] {7}, 8);

        assertThat(ONE.plus(other)).isEqualTo(new Fidelity(4, 1.25 + 9, 14 + 16, 3, 32));
        assertThat(other.plus(ONE)).isEqualTo(ONE.plus(other));
        assertThat(Fidelity.NONE.plus(ONE)).isEqualTo(ONE);
    }
}
