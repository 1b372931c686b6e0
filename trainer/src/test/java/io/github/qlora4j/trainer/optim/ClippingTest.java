package io.github.qlora4j.trainer.optim;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

@ExtendWith(OneThread.class)
class ClippingTest {

    private NDManager manager;
    private List<Parameter> parameters;

    @BeforeEach
    void open() {
        manager = Torch.newManager();
        parameters = Golden.parameters(manager, Dtype.FLOAT32);
    }

    @AfterEach
    void close() {
        manager.close();
    }

    @Test
    void clipsAsTorchDoesBitForBit() {
        for (JsonElement element : Golden.read("clipping").getAsJsonArray("cases")) {
            JsonObject c = element.getAsJsonObject();
            List<NDArray> gradients = Golden.gradients(manager, c.get("update").getAsInt());
            double norm = new Clipping(c.get("max_norm").getAsDouble()).apply(parameters, gradients);
            assertThat(norm).as(c.toString()).isEqualTo(c.get("norm").getAsDouble());
            List<String> clipped = new ArrayList<>();
            c.getAsJsonArray("clipped").forEach(h -> clipped.add(h.getAsString()));
            assertThat(gradients.stream().map(g -> Golden.hash(Golden.bytes(g))))
                    .as(c.toString())
                    .containsExactlyElementsOf(clipped);
        }
    }

    @Test
    void reportsTheNormAndChangesNothingAtZero() {
        List<NDArray> gradients = Golden.gradients(manager, 5);
        List<String> before =
                gradients.stream().map(g -> Golden.hash(Golden.bytes(g))).toList();
        assertThat(new Clipping(0).apply(parameters, gradients)).isPositive();
        assertThat(gradients.stream().map(g -> Golden.hash(Golden.bytes(g)))).isEqualTo(before);
    }

    @Test
    void namesTheParameterWhoseGradientIsNotFinite() {
        for (float bad : new float[] {Float.NaN, Float.POSITIVE_INFINITY}) {
            List<NDArray> gradients = Golden.gradients(manager, 5);
            Torch.bytes(gradients.get(1), 0, 400).putFloat(40, bad);
            String before = Golden.hash(Golden.bytes(gradients.get(2)));
            assertThatThrownBy(() -> new Clipping(1).apply(parameters, gradients))
                    .isInstanceOfSatisfying(
                            NonFiniteGradientException.class,
                            e -> assertThat(e.parameter()).isEqualTo("1"))
                    .hasMessageContaining("the gradient of 1 is not finite: its norm is " + bad);
            assertThat(Golden.hash(Golden.bytes(gradients.get(2)))).isEqualTo(before);
        }
        assertThatThrownBy(() -> new Clipping(Double.NaN)).isInstanceOf(QloraException.class);
    }
}
