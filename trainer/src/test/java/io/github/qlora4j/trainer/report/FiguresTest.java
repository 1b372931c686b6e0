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
    void bytes_roundWithoutAFourthDigit() {
        assertThat(Figures.bytes(9_994_000)).isEqualTo("9.99 MB");
        assertThat(Figures.bytes(9_995_000)).isEqualTo("10.0 MB");
        assertThat(Figures.bytes(99_940_000)).isEqualTo("99.9 MB");
        assertThat(Figures.bytes(99_950_000)).isEqualTo("100 MB");
        assertThat(Figures.bytes(999_400)).isEqualTo("999 kB");
        assertThat(Figures.bytes(999_500)).isEqualTo("1.00 MB");
        assertThat(Figures.bytes(3_000_000_000_000_000_000L)).isEqualTo("3000 PB");
    }

    @Test
    void counts_haveCommas_andDecimals_theirDigits() {
        assertThat(Figures.count(4_194_304)).isEqualTo("4,194,304");
        assertThat(Figures.decimal(2.0 / 3, 4)).isEqualTo("0.6667");
        assertThat(Figures.trainable(0, 0)).isEqualTo("trainable params: 0 || all params: 0 || trainable%: 0.0000");
    }

    @Test
    void durations_roundToSeconds() {
        assertThat(Figures.duration(59.5)).isEqualTo("1:00");
        assertThat(Figures.duration(3599.4)).isEqualTo("59:59");
        assertThat(Figures.duration(3600)).isEqualTo("1:00:00");
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
