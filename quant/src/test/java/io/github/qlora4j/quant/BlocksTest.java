package io.github.qlora4j.quant;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.qlora4j.quant.torch.Dtype;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class BlocksTest {

    @ParameterizedTest
    @ValueSource(longs = {0, 1, 16383, 16384, 16385, 32768, 49151})
    void chunksCoverAllElementsOnceAndNoneIsEmpty(long elements) {
        List<long[]> chunks = Collections.synchronizedList(new ArrayList<>());
        Blocks.forEach(elements, (first, count) -> chunks.add(new long[] {first, count}));
        chunks.sort((a, b) -> Long.compare(a[0], b[0]));
        long at = 0;
        for (long[] chunk : chunks) {
            assertThat(chunk[0]).isEqualTo(at);
            assertThat(chunk[1]).isBetween(1L, (long) Blocks.CHUNK);
            at += chunk[1];
        }
        assertThat(at).isEqualTo(elements);
    }

    @ParameterizedTest
    @CsvSource({
        "1, 100, 50, 400",
        "64, 100, 50, 8",
        "16384, 16384, 8192, 4",
        "16384, 16385, 8193, 8",
    })
    void buffersOfTheRightSizesGiveTheirElements(int blocksize, int elements, int narrow, int absmax) {
        assertThat(check(Dtype.FLOAT16, 2 * elements, blocksize, narrow, narrow, absmax))
                .isEqualTo(elements);
    }

    @ParameterizedTest
    @CsvSource({
        "64, 401, 50, 50, 8", // a float is cut
        "64, 400, 50, 49, 8",
        "64, 400, 50, 51, 8",
        "64, 400, 50, 50, 4",
        "64, 400, 50, 50, 9",
    })
    void buffersOfOtherSizesAreRefused(int blocksize, int wide, int expected, int narrow, int absmax) {
        assertThatThrownBy(() -> check(Dtype.FLOAT32, wide, blocksize, expected, narrow, absmax))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageStartingWith(
                        "direct buffers of 50 and 8 bytes are needed for 100 elements in blocks of 64, got");
    }

    @ParameterizedTest
    @ValueSource(ints = {-64, 0, 48, 32768})
    void blocksThatDoNotDivideAChunkAreRefused(int blocksize) {
        assertThatThrownBy(() -> check(Dtype.FLOAT32, 400, blocksize, 50, 50, 8))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("blocks of " + blocksize);
    }

    @Test
    void memoryOfTheJavaHeapIsRefused() {
        ByteBuffer[] direct = {GoldenInputs.direct(400), GoldenInputs.direct(50), GoldenInputs.direct(8)};
        assertThatCode(() -> Blocks.check(Dtype.FLOAT32, direct[0], 64, 50, direct[1], direct[2]))
                .doesNotThrowAnyException();
        for (int i = 0; i < 3; i++) {
            ByteBuffer[] mixed = direct.clone();
            mixed[i] = ByteBuffer.allocate(direct[i].capacity());
            assertThatThrownBy(() -> Blocks.check(Dtype.FLOAT32, mixed[0], 64, 50, mixed[1], mixed[2]))
                    .as("buffer %d", i)
                    .isInstanceOf(IllegalArgumentException.class);
        }
    }

    @Test
    void otherDtypesAreRefusedByName() {
        for (Dtype dtype : Dtype.values()) {
            if (dtype == Dtype.FLOAT32 || dtype == Dtype.FLOAT16 || dtype == Dtype.BFLOAT16) {
                continue;
            }
            assertThatThrownBy(() -> check(dtype, 8, 64, 8, 8, 4))
                    .isInstanceOf(QloraException.class)
                    .hasMessageStartingWith("dtype " + dtype.torchName() + " cannot be quantized");
        }
    }

    @Test
    void theFirstElementThatIsNotFiniteIsNamedByItsPlaceInTheTensor() {
        int[] bits = bits(1f, -3f, 2f, Float.NEGATIVE_INFINITY, Float.NaN, 5f);
        assertThat(Blocks.absmax(bits, 0, 3, 0)).isEqualTo(3f);
        assertThat(Blocks.absmax(bits, 2, 2, 0)).isZero();
        assertThat(Blocks.absmax(bits(-Float.MAX_VALUE), 0, 1, 0)).isEqualTo(Float.MAX_VALUE);
        assertThatThrownBy(() -> Blocks.absmax(bits, 2, 6, 100))
                .isInstanceOf(QloraException.class)
                .hasMessage("element 103 is -Infinity; a NaN or infinite weight cannot be quantized");
        assertThatThrownBy(() -> Blocks.absmax(bits, 4, 6, 0)).hasMessageStartingWith("element 4 is NaN");
    }

    private static int[] bits(float... values) {
        int[] bits = new int[values.length];
        for (int i = 0; i < bits.length; i++) {
            bits[i] = Float.floatToRawIntBits(values[i]);
        }
        return bits;
    }

    private static long check(Dtype dtype, int wide, int blocksize, long expected, int narrow, int absmax) {
        return Blocks.check(
                dtype,
                GoldenInputs.direct(wide),
                blocksize,
                expected,
                GoldenInputs.direct(narrow),
                GoldenInputs.direct(absmax));
    }
}
