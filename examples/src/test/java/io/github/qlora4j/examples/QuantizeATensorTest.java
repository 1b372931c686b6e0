package io.github.qlora4j.examples;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.QuantType;
import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class QuantizeATensorTest {

    @TempDir
    Path directory;

    @Test
    void takesFourBitsAndAnEighthAWeight() throws IOException {
        QuantizeATensor.Result result = QuantizeATensor.run(128, 128, FourBitConfig.DEFAULT, directory);
        assertThat(result.bytesBefore()).isEqualTo(2 * 128 * 128);
        // 8192 packed, 256 of absmax, one scale of those and their offset
        assertThat(result.bytesAfter()).isEqualTo(8192 + 256 + 4 + 4);
        assertThat(result.bitsPerWeight()).isBetween(4.12, 4.14);
    }

    @Test
    void staysWithinHalfTheWidestGapOfTheCode() throws IOException {
        QuantizeATensor.Result result =
                QuantizeATensor.run(128, 128, new FourBitConfig(QuantType.NF4, 64, false), directory);
        // NF4's widest gap, between -1 and -0.696; a little for float32
        assertThat(result.largestBlockError()).isBetween(0.1, 0.1520);
        assertThat(result.meanError()).isBetween(0.05 * result.meanSize(), 0.15 * result.meanSize());
    }

    @Test
    void theFileGivesTheSameValuesBack() throws IOException {
        for (QuantType type : QuantType.values()) {
            assertThat(QuantizeATensor.run(31, 77, new FourBitConfig(type, 64, true), directory)
                            .sameAfterReload())
                    .as(type.key())
                    .isTrue();
        }
    }
}
