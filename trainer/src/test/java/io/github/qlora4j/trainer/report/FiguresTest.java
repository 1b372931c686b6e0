package io.github.qlora4j.trainer.report;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class FiguresTest {
    @Test
    void bytes_haveThreeDigits() {
        assertThat(Figures.bytes(0)).isEqualTo("0 B");
        assertThat(Figures.bytes(999)).isEqualTo("999 B");
        assertThat(Figures.bytes(1_000)).isEqualTo("1.00 kB");
        assertThat(Figures.bytes(174_030_000)).isEqualTo("174 MB");
        assertThat(Figures.bytes(999_600_000)).isEqualTo("1.00 GB");
        assertThat(Figures.bytes(12_340_000_000L)).isEqualTo("12.3 GB");
    }

    @Test
    void durations_growHours() {
        assertThat(Figures.duration(7.4)).isEqualTo("0:07");
        assertThat(Figures.duration(760)).isEqualTo("12:40");
        assertThat(Figures.duration(10_935)).isEqualTo("3:02:15");
    }

    @Test
    void trainable_isPeftsLine() {
        assertThat(Figures.trainable(4_194_304, 6_742_609_920L))
                .isEqualTo("trainable params: 4,194,304 || all params: 6,742,609,920 || trainable%: 0.0622");
    }
}
