package io.github.qlora4j.quant;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class GroupedProductTest {

    // groups of 32 to a whole row of 512, zero points of their own or 8, groups of neighbours or scattered
    @ParameterizedTest
    @CsvSource({
        "128, 256, 128, true, false, 1",
        "128, 256, 128, false, false, 1",
        "64, 256, 32, false, true, 1",
        "64, 256, 64, true, true, 5",
        "64, 512, 512, false, false, 17",
        "192, 384, 96, false, false, 1",
    })
    void productsEqualThoseWithTheWeightWhoseFactorsAreRounded(
            int rows, int cols, int group, boolean symmetric, boolean scattered, int count) {
        assumeTrue(ReadyProduct.packsBfloat16());
        long seed = 31;
        Made made = new Made(seed, rows, cols, group, symmetric, scattered);
        try (NDManager manager = Torch.newManager();
                GptqWeight weight = made.weight(4);
                ReadyProduct product = weight.product(List.of(), Dtype.BFLOAT16).orElseThrow()) {
            NDArray x = inputs(manager, seed, count, cols);
            NDArray y = Torch.empty(manager, Dtype.BFLOAT16, count, rows);

            product.between(x, y).run();

            float[] found = Torch.toFloats(y);
            float[] in = Torch.toFloats(x);
            for (int r = 0; r < count; r++) {
                for (int o = 0; o < rows; o++) {
                    double sum = 0;
                    double size = 0;
                    for (int i = 0; i < cols; i++) {
                        int g = o * made.groups + made.groupOf[i];
                        float scale = bf16(made.scales[g]);
                        float offset = bf16(made.scales[g] * (8 - made.zeros[g]));
                        double term = (double) in[r * cols + i] * ((made.codes[o * cols + i] - 8) * scale + offset);
                        sum += term;
                        size += Math.abs(term);
                    }
                    // the sum is float32's, its result rounded to bfloat16, by 2^-9 at most
                    assertThat((double) found[r * rows + o])
                            .as("seed %d [%d, %d]", seed, r, o)
                            .isCloseTo(sum, within(Math.abs(sum) / 256 + size * cols / (1 << 24)));
                }
            }
        }
    }

    @Test
    void weightsBesideEachOtherGiveTheBitsOfEachAlone() {
        assumeTrue(ReadyProduct.packsBfloat16());
        long seed = 32;
        try (NDManager manager = Torch.newManager();
                GptqWeight a = new Made(seed, 128, 256, 64, false, true).weight(4);
                GptqWeight b = new Made(seed, 64, 256, 64, false, true).weight(4);
                ReadyProduct both = a.product(List.of(b), Dtype.BFLOAT16).orElseThrow();
                ReadyProduct first = a.product(List.of(), Dtype.BFLOAT16).orElseThrow();
                ReadyProduct second = b.product(List.of(), Dtype.BFLOAT16).orElseThrow()) {
            NDArray x = inputs(manager, seed, 1, 256);
            NDArray y = Torch.empty(manager, Dtype.BFLOAT16, 1, 192);
            NDArray y1 = Torch.empty(manager, Dtype.BFLOAT16, 1, 128);
            NDArray y2 = Torch.empty(manager, Dtype.BFLOAT16, 1, 64);

            both.between(x, y).run();
            first.between(x, y1).run();
            second.between(x, y2).run();

            float[] expected = Arrays.copyOf(Torch.toFloats(y1), 192);
            System.arraycopy(Torch.toFloats(y2), 0, expected, 128, 64);
            assertThat(Torch.toFloats(y)).as("seed %d", seed).isEqualTo(expected);
            // the order of inputs is kept once
            assertThat(both.bytes()).isEqualTo(first.bytes() + second.bytes() - 8 * 256);
            assertThatThrownBy(() -> both.between(x, y1)).isInstanceOf(IllegalArgumentException.class);
        }
    }

    @Test
    void noProductIsOfferedForWhatTheKernelDoesNotTake() {
        Made fits = new Made(33, 64, 192, 64, false, false);
        try (GptqWeight weight = fits.weight(4);
                GptqWeight wider = new Made(33, 64, 192, 64, false, false).weight(8);
                GptqWeight outputs = new Made(33, 96, 192, 64, false, false).weight(4);
                GptqWeight groups = new Made(33, 64, 192, 48, false, false).weight(4);
                GptqWeight scattered = new Made(33, 64, 192, 64, false, true).weight(4);
                GptqWeight uneven = fits.unevenly().weight(4);
                NDManager manager = Torch.newManager();
                DenseWeight dense = new DenseWeight(Torch.zeros(manager, Dtype.BFLOAT16, 64, 192))) {
            assertThat(weight.product(List.of(), Dtype.BFLOAT16).map(GroupedProductTest::closed))
                    .isEqualTo(ReadyProduct.packsBfloat16() ? java.util.Optional.of(true) : java.util.Optional.empty());
            assertThat(weight.product(List.of(), Dtype.FLOAT32)).isEmpty();
            assertThat(wider.product(List.of(), Dtype.BFLOAT16)).isEmpty();
            assertThat(outputs.product(List.of(), Dtype.BFLOAT16)).isEmpty();
            assertThat(groups.product(List.of(), Dtype.BFLOAT16)).isEmpty();
            assertThat(uneven.product(List.of(), Dtype.BFLOAT16)).isEmpty();
            assertThat(weight.product(List.of(scattered), Dtype.BFLOAT16)).isEmpty();
            assertThat(weight.product(List.of(dense), Dtype.BFLOAT16)).isEmpty();
        }
    }

    private static boolean closed(ReadyProduct product) {
        product.close();
        return true;
    }

    private static float bf16(float value) {
        return Float.intBitsToFloat(HalfFloat.toBf16(value) << 16);
    }

    private static NDArray inputs(NDManager manager, long seed, int count, int cols) {
        Random random = new Random(seed + 1);
        float[] values = new float[count * cols];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return Torch.cast(manager, Torch.ofFloats(manager, values, count, cols), Dtype.BFLOAT16);
    }

    /** A weight and what it was made from. */
    private static final class Made {
        private final int rows;
        private final int cols;
        private final int groups;
        private final int[] groupOf;
        private final byte[] codes;
        private final float[] scales;
        private final int[] zeros;

        Made(long seed, int rows, int cols, int group, boolean symmetric, boolean scattered) {
            Random random = new Random(seed);
            this.rows = rows;
            this.cols = cols;
            this.groups = cols / group;
            List<Integer> order =
                    IntStream.range(0, cols).map(i -> i / group).boxed().collect(Collectors.toList());
            if (scattered) {
                Collections.shuffle(order, random);
            }
            groupOf = order.stream().mapToInt(Integer::intValue).toArray();
            codes = new byte[rows * cols];
            for (int i = 0; i < codes.length; i++) {
                codes[i] = (byte) random.nextInt(16);
            }
            scales = new float[rows * groups];
            zeros = new int[rows * groups];
            for (int i = 0; i < scales.length; i++) {
                scales[i] = 0.001f + random.nextFloat() / 100;
                zeros[i] = symmetric ? 8 : random.nextInt(17);
            }
        }

        /** The same with one input more in the first group and one less in the second. */
        Made unevenly() {
            groupOf[cols / groups] = 0;
            return this;
        }

        GptqWeight weight(int bits) {
            NDManager owner = Torch.newManager();
            byte[] offsets = new byte[zeros.length];
            for (int i = 0; i < offsets.length; i++) {
                offsets[i] = (byte) zeros[i];
            }
            NDArray unpacked = bytes(owner, codes, rows, cols);
            return new GptqWeight(new GroupedCodes(
                    owner,
                    bits,
                    GroupedCodes.pack(owner, unpacked, bits, GroupedCodes.order(groupOf)),
                    Torch.ofFloats(owner, scales, rows, groups),
                    bytes(owner, offsets, rows, groups),
                    groupOf));
        }

        private static NDArray bytes(NDManager owner, byte[] values, long... shape) {
            NDArray tensor = Torch.empty(owner, Dtype.UINT8, shape);
            Torch.bytes(tensor, 0, values.length).put(values);
            return tensor;
        }
    }
}
