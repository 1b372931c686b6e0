package io.github.qlora4j.quant;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class FourBitConfigTest {

    /** Packed, then absmax: plain, four bytes a block; double, one byte a block, four for each 256 blocks, the offset. */
    @ParameterizedTest
    @CsvSource({
        "64, false, 4096, 2048 + 256",
        "64, true, 4096, 2048 + 64 + 4 + 4",
        "64, false, 16385, 8193 + 1028",
        "64, true, 16385, 8193 + 257 + 8 + 4",
        "4096, true, 1, 1 + 1 + 4 + 4",
        "32, true, 2147483648, 1073741824 + 67108864 + 1048576 + 4",
    })
    void bytesCountTheWeightsAndTheirScales(int blocksize, boolean doubleQuant, long elements, String sum) {
        long expected = 0;
        for (String part : sum.split(" \\+ ")) {
            expected += Long.parseLong(part);
        }
        assertThat(new FourBitConfig(QuantType.NF4, blocksize, doubleQuant).bytes(elements))
                .isEqualTo(expected);
    }

    @Test
    void aBlocksizeThatBitsandbytesDoesNotTakeIsRefused() {
        assertThatThrownBy(() -> new FourBitConfig(QuantType.NF4, 48, true))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("blocksize 48 is not one of [32, 64,");
    }

    @Test
    void typesHaveTheNamesOfBitsandbytes() {
        assertThat(QuantType.ofKey("nf4")).isSameAs(QuantType.NF4);
        assertThat(QuantType.ofKey("fp4")).isSameAs(QuantType.FP4);
        assertThatThrownBy(() -> QuantType.ofKey("NF4"))
                .isInstanceOf(QloraException.class)
                .hasMessage("quant_type NF4 is not known; expected one of nf4, fp4");
    }
}
