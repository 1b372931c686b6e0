package io.github.qlora4j.quant;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.bitsandbytes.GemvLibrary;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class FourBitProductTest {

    @ParameterizedTest
    @CsvSource({"NF4,64,true,1", "NF4,64,false,5", "NF4,32,true,1", "NF4,128,true,3", "FP4,64,true,1", "NF4,256,true,33"
    })
    void productsEqualThoseWithTheDequantizedWeight(QuantType type, int blocksize, boolean nested, int count) {
        assumeTrue(GemvLibrary.usable());
        long seed = 11;
        try (NDManager manager = Torch.newManager();
                Scratch scratch = new Scratch();
                FourBitWeight weight = FourBitWeight.quantize(
                        random(manager, seed, 96, 512),
                        new FourBitConfig(type, blocksize, nested),
                        Kernels.choose(KernelChoice.AUTO));
                ReadyProduct product = weight.product(List.of(), Dtype.BFLOAT16).orElseThrow()) {
            NDArray x = Torch.cast(manager, random(manager, seed + 1, count, 512), Dtype.BFLOAT16);
            NDArray y = Torch.empty(manager, Dtype.BFLOAT16, count, 96);

            product.between(x, y).run();

            float[] found = Torch.toFloats(y);
            float[] dense = Torch.toFloats(weight.dense(Dtype.FLOAT32, scratch));
            float[] rows = Torch.toFloats(x);
            for (int r = 0; r < count; r++) {
                for (int o = 0; o < 96; o++) {
                    double sum = 0;
                    double size = 0;
                    for (int i = 0; i < 512; i++) {
                        double term = (double) rows[r * 512 + i] * dense[o * 512 + i];
                        sum += term;
                        size += term * term;
                    }
                    // absmax and each weight are rounded to bfloat16, 2^-9 at most each, and so is the result; the
                    // errors of the terms are independent: six deviations of their sum
                    double bound = 6 * Math.sqrt(size) * 2 / 512 + Math.abs(sum) / 256;
                    assertThat((double) found[r * 96 + o])
                            .as("%s %d seed %d [%d, %d]", type, blocksize, seed, r, o)
                            .isCloseTo(sum, org.assertj.core.data.Offset.offset(bound));
                }
            }
        }
    }

    @Test
    void noProductIsOfferedForWhatTheKernelDoesNotTake() {
        try (NDManager manager = Torch.newManager()) {
            Kernel kernel = Kernels.choose(KernelChoice.AUTO);
            FourBitConfig config = FourBitConfig.DEFAULT;
            try (FourBitWeight rows = FourBitWeight.quantize(random(manager, 1, 48, 64), config, kernel);
                    FourBitWeight cols = FourBitWeight.quantize(random(manager, 2, 64, 96), config, kernel);
                    FourBitWeight fits = FourBitWeight.quantize(random(manager, 3, 64, 64), config, kernel);
                    FourBitWeight builtin =
                            FourBitWeight.quantize(random(manager, 3, 64, 64), config, BuiltinKernel.INSTANCE)) {
                assertThat(rows.product(List.of(), Dtype.BFLOAT16)).isEmpty();
                assertThat(cols.product(List.of(), Dtype.BFLOAT16)).isEmpty();
                assertThat(fits.product(List.of(), Dtype.FLOAT32)).isEmpty();
                assertThat(builtin.product(List.of(), Dtype.BFLOAT16)).isEmpty();
            }
        }
    }

    @Test
    void weightsBesideEachOtherGiveTheBitsOfEachAlone() {
        assumeTrue(GemvLibrary.usable());
        long seed = 21;
        Kernel kernel = Kernels.choose(KernelChoice.AUTO);
        try (NDManager manager = Torch.newManager();
                FourBitWeight a =
                        FourBitWeight.quantize(random(manager, seed, 96, 256), FourBitConfig.DEFAULT, kernel);
                FourBitWeight b =
                        FourBitWeight.quantize(random(manager, seed + 1, 32, 256), FourBitConfig.DEFAULT, kernel);
                FourBitWeight otherInputs =
                        FourBitWeight.quantize(random(manager, seed, 32, 128), FourBitConfig.DEFAULT, kernel);
                FourBitWeight otherCode = FourBitWeight.quantize(
                        random(manager, seed, 32, 256), new FourBitConfig(QuantType.FP4, 64, true), kernel);
                ReadyProduct both = a.product(List.of(b), Dtype.BFLOAT16).orElseThrow();
                ReadyProduct first = a.product(List.of(), Dtype.BFLOAT16).orElseThrow();
                ReadyProduct second = b.product(List.of(), Dtype.BFLOAT16).orElseThrow()) {
            NDArray x = Torch.cast(manager, random(manager, seed + 2, 1, 256), Dtype.BFLOAT16);
            NDArray y = Torch.empty(manager, Dtype.BFLOAT16, 1, 128);
            NDArray y1 = Torch.empty(manager, Dtype.BFLOAT16, 1, 96);
            NDArray y2 = Torch.empty(manager, Dtype.BFLOAT16, 1, 32);

            both.between(x, y).run();
            first.between(x, y1).run();
            second.between(x, y2).run();

            float[] expected = Arrays.copyOf(Torch.toFloats(y1), 128);
            System.arraycopy(Torch.toFloats(y2), 0, expected, 96, 32);
            assertThat(Torch.toFloats(y)).as("seed %d", seed).isEqualTo(expected);
            assertThat(both.bytes()).isEqualTo(first.bytes() + second.bytes());
            assertThat(a.product(List.of(otherInputs), Dtype.BFLOAT16)).isEmpty();
            assertThat(a.product(List.of(otherCode), Dtype.BFLOAT16)).isEmpty();
        }
    }

    @Test
    void otherShapesAreRefused_forTheKernelWouldReadBeyondThem() {
        assumeTrue(GemvLibrary.usable());
        try (NDManager manager = Torch.newManager();
                FourBitWeight weight = FourBitWeight.quantize(
                        random(manager, 4, 32, 64), FourBitConfig.DEFAULT, Kernels.choose(KernelChoice.AUTO));
                ReadyProduct product = weight.product(List.of(), Dtype.BFLOAT16).orElseThrow()) {
            NDArray x = Torch.zeros(manager, Dtype.BFLOAT16, 1, 63);
            NDArray y = Torch.zeros(manager, Dtype.BFLOAT16, 1, 32);
            NDArray floats = Torch.zeros(manager, Dtype.FLOAT32, 1, 64);

            assertThatThrownBy(() -> product.between(x, y)).isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> product.between(floats, y)).isInstanceOf(IllegalArgumentException.class);
        }
    }

    private static NDArray random(NDManager manager, long seed, int rows, int cols) {
        Random random = new Random(seed);
        float[] values = new float[rows * cols];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return Torch.ofFloats(manager, values, rows, cols);
    }
}
