package io.github.qlora4j.peft;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class LoraLinearTest {

    private static final int IN = 5;
    private static final int OUT = 4;
    private static final int R = 2;
    private static final double SCALING = 1.5;

    private final Random random = new Random(11);
    private NDManager manager;
    private NDArray w;
    private NDArray x;
    private NDArray g;
    private LoraWeights lora;

    @BeforeEach
    void open() {
        manager = Torch.newManager();
        w = random(OUT, IN);
        x = random(2, 3, IN);
        g = random(2, 3, OUT);
        lora = new LoraWeights("m", R, random(R, IN), random(OUT, R), SCALING);
    }

    @AfterEach
    void close() {
        manager.close();
    }

    private NDArray random(long... shape) {
        float[] values = new float[(int) java.util.Arrays.stream(shape).reduce(1, (a, b) -> a * b)];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return Torch.ofFloats(manager, values, shape);
    }

    @Test
    void forwardEqualsTheMergedWeight() {
        NDArray merged = Merge.merge(manager, w, lora, Dtype.FLOAT32);
        float[] expected = Torch.toFloats(x.reshape(6, IN).matMul(merged.transpose()));
        NDArray y = LoraLinear.forward(manager, x, w, lora);
        assertThat(Torch.shape(y)).containsExactly(2, 3, OUT);
        // sums of five products of size 1: a few float32 roundings
        assertThat(Torch.toFloats(y)).containsExactly(expected, within(1e-5f));
    }

    @Test
    void backwardEqualsDifferencesOfTheForward() {
        LoraLinear.Gradients gradients = LoraLinear.backward(manager, g, x, w, lora);
        assertGradient(lora.a(), gradients.a());
        assertGradient(lora.b(), gradients.b());
        assertGradient(x, gradients.x());
    }

    /** The forward is linear in each of its tensors, so a central difference is exact but for rounding. */
    private void assertGradient(NDArray parameter, NDArray gradient) {
        assertThat(Torch.shape(gradient)).isEqualTo(Torch.shape(parameter));
        float[] analytic = Torch.toFloats(gradient);
        var memory = Torch.bytes(parameter, 0, Torch.byteSize(parameter)).asFloatBuffer();
        for (int i = 0; i < analytic.length; i++) {
            float before = memory.get(i);
            memory.put(i, before + 0.5f);
            double above = loss();
            memory.put(i, before - 0.5f);
            double below = loss();
            memory.put(i, before);
            assertThat((double) analytic[i]).as("element %d, seed 11", i).isCloseTo(above - below, within(1e-4));
        }
    }

    private double loss() {
        float[] y = Torch.toFloats(LoraLinear.forward(manager, x, w, lora));
        float[] weights = Torch.toFloats(g);
        double sum = 0;
        for (int i = 0; i < y.length; i++) {
            sum += (double) y[i] * weights[i];
        }
        return sum;
    }

    @Test
    void keepsTheDtypesOfInputAndAdapter() {
        NDArray narrow = Torch.cast(manager, x, Dtype.BFLOAT16);
        assertThat(Torch.dtype(LoraLinear.forward(manager, narrow, w, lora))).isEqualTo(Dtype.BFLOAT16);
        NDArray narrowG = Torch.cast(manager, g, Dtype.BFLOAT16);
        LoraLinear.Gradients gradients = LoraLinear.backward(manager, narrowG, narrow, w, lora);
        assertThat(Torch.dtype(gradients.a())).isEqualTo(Dtype.FLOAT32);
        assertThat(Torch.dtype(gradients.x())).isEqualTo(Dtype.BFLOAT16);
    }

    @Test
    void mergesAWeightStoredTransposed() {
        NDArray merged = Merge.merge(manager, w, lora, Dtype.FLOAT32);
        NDArray transposed = Torch.copy(manager, w.transpose());
        NDArray other = Merge.merge(manager, transposed, lora, Dtype.FLOAT32, true);
        assertThat(Torch.toFloats(other)).containsExactly(Torch.toFloats(merged.transpose()), within(1e-6f));
    }

    @Test
    void refusesAMergeThatIsNotFinite() {
        NDArray huge = Torch.ofFloats(manager, new float[OUT * R], OUT, R);
        Torch.bytes(huge, 0, 4).asFloatBuffer().put(0, Float.NaN);
        LoraWeights broken = new LoraWeights("model.layers.3.mlp.up_proj", R, lora.a(), huge, SCALING);
        assertThatThrownBy(() -> Merge.merge(manager, w, broken, Dtype.FLOAT32))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("model.layers.3.mlp.up_proj");
    }

    @Test
    void refusesAMergeOntoAnotherShape() {
        assertThatThrownBy(() -> Merge.merge(manager, random(IN, OUT), lora, Dtype.FLOAT32))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("[4, 5]");
    }
}
