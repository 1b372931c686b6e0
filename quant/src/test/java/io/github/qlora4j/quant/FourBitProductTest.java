package io.github.qlora4j.quant;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.bitsandbytes.GemvLibrary;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
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
                FewRowsProduct product = weight.fewRows(Dtype.BFLOAT16).orElseThrow()) {
            NDArray x = Torch.cast(manager, random(manager, seed + 1, count, 512), Dtype.BFLOAT16);
            NDArray y = Torch.empty(manager, Dtype.BFLOAT16, count, 96);

            product.multiply(x, y);

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
                assertThat(rows.fewRows(Dtype.BFLOAT16)).isEmpty();
                assertThat(cols.fewRows(Dtype.BFLOAT16)).isEmpty();
                assertThat(fits.fewRows(Dtype.FLOAT32)).isEmpty();
                assertThat(builtin.fewRows(Dtype.BFLOAT16)).isEmpty();
            }
        }
    }

    @Test
    void otherShapesAreRefused_forTheKernelWouldReadBeyondThem() {
        assumeTrue(GemvLibrary.usable());
        try (NDManager manager = Torch.newManager();
                FourBitWeight weight = FourBitWeight.quantize(
                        random(manager, 4, 32, 64), FourBitConfig.DEFAULT, Kernels.choose(KernelChoice.AUTO));
                FewRowsProduct product = weight.fewRows(Dtype.BFLOAT16).orElseThrow()) {
            NDArray x = Torch.zeros(manager, Dtype.BFLOAT16, 1, 63);
            NDArray y = Torch.zeros(manager, Dtype.BFLOAT16, 1, 32);
            NDArray floats = Torch.zeros(manager, Dtype.FLOAT32, 1, 64);

            assertThatThrownBy(() -> product.multiply(x, y)).isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> product.multiply(floats, y)).isInstanceOf(IllegalArgumentException.class);
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
