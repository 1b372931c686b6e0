package io.github.qlora4j.quant;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.quant.torch.TorchScript;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.assertj.core.data.Percentage;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Compares with the quantizer of autoawq 0.2.9; scripts/golden/grouped.py ran it. */
class AwqSearchTest {

    private static final AwqSearch SEARCH = new AwqSearch(new AwqConfig(32));
    private static TorchScript script;

    @BeforeAll
    static void oneThread() {
        Torch.setThreads(1);
        script = TorchScript.compile("test", """
                def linear(x: Tensor, w: Tensor) -> Tensor:
                  return torch.matmul(x, torch.t(w))
                def gated(x: Tensor, gate: Tensor, up: Tensor) -> Tensor:
                  return torch.mul(torch.silu(linear(x, gate)), linear(x, up))
                def plus(x: Tensor, y: Tensor) -> Tensor:
                  return torch.add(x, torch.div(y, 4.))
                """);
    }

    static Stream<JsonObject> cases() {
        return GroupedGolden.cases("awq").stream();
    }

    @ParameterizedTest
    @MethodSource("cases")
    void codesScalesAndZeroPointsEqualAutoawq(JsonObject golden) {
        int rows = GroupedGolden.number(golden, "rows");
        int cols = GroupedGolden.number(golden, "cols");
        int seed = GroupedGolden.number(golden, "seed");
        AwqConfig config = new AwqConfig(GroupedGolden.number(golden, "group_size"));
        int raised = Math.max(config.groupSize(), 32);
        float[] values = GoldenInputs.uniform(rows * cols, seed);
        for (int i = 0; i < values.length; i++) {
            // in float16, as there
            values[i] = HalfFloat.ofFp16(HalfFloat.toFp16(values[i])) + (i % cols < raised ? 0.75f : 0);
        }
        try (NDManager manager = Torch.newManager();
                AwqWeight weight = AwqWeight.quantize(Torch.ofFloats(manager, values, rows, cols), config)) {
            Map<String, NDArray> theirs = GroupedGolden.parts(manager, "awq", seed, "m");
            new AwqCheckpoint(config)
                    .tensors(manager, "m", weight)
                    .forEach((name, tensor) -> assertThat(GroupedGolden.bytes(tensor))
                            .as("%s: %s", name, golden)
                            .isEqualTo(GroupedGolden.bytes(theirs.get(name))));
        }
    }

    private static NDArray matrix(NDManager manager, int rows, int cols, int seed) {
        return Torch.ofFloats(manager, GoldenInputs.uniform(rows * cols, seed), rows, cols);
    }

    private static NDArray inputs(NDManager manager) {
        return script.tensor(
                manager,
                "plus",
                Torch.ofFloats(manager, GoldenInputs.activations(3, 20, 64, 3010), 60, 64),
                matrix(manager, 60, 64, 3011));
    }

    /**
     * Of twenty candidates the same one is found; powers and sums of float32 may differ in their last places, by which
     * candidates, whose ratios differ by 0.05, cannot be confused.
     */
    @Test
    void scalesEqualAutoawq() {
        try (NDManager manager = Torch.newManager()) {
            NDArray gate = matrix(manager, 128, 64, 3000);
            NDArray up = matrix(manager, 128, 64, 3001);
            NDArray down = matrix(manager, 64, 128, 3002);
            NDArray x = inputs(manager);
            NDArray mlp = SEARCH.scales(
                    manager,
                    List.of(gate, up),
                    x,
                    (m, w) -> script.tensor(m, "linear", script.tensor(m, "gated", x, w.get(0), w.get(1)), down));
            assertClose(mlp, "search.mlp");
            NDArray inner = script.tensor(manager, "gated", x, gate, up);
            NDArray alone =
                    SEARCH.scales(manager, List.of(down), inner, (m, w) -> script.tensor(m, "linear", inner, w.get(0)));
            assertClose(alone, "search.down");
        }
    }

    @Test
    void clippingEqualsAutoawq() {
        try (NDManager manager = Torch.newManager()) {
            assertClose(SEARCH.clip(manager, matrix(manager, 128, 64, 3000), inputs(manager)), "search.clip");
            NDArray many = Torch.ofFloats(manager, GoldenInputs.activations(4, 300, 64, 3020), 1200, 64);
            assertClose(SEARCH.clip(manager, matrix(manager, 128, 64, 3001), many), "search.clip_strided");
        }
    }

    private static void assertClose(NDArray found, String golden) {
        try (NDManager manager = Torch.newManager()) {
            float[] expected = Torch.toFloats(GroupedGolden.tensor(manager, "awq", golden));
            float[] values = Torch.toFloats(found);
            assertThat(values).hasSameSizeAs(expected);
            for (int i = 0; i < values.length; i++) {
                assertThat(values[i])
                        .as("%s, element %d", golden, i)
                        .isCloseTo(expected[i], Percentage.withPercentage(1e-4));
            }
        }
    }

    /** Scaling what goes in and unscaling what makes it changes nothing before quantization. */
    @Test
    void scalesCancel() {
        try (NDManager manager = Torch.newManager()) {
            NDArray scales = Torch.ofFloats(manager, new float[] {0.5f, 2, 4}, 3);
            NDArray before = Torch.ofFloats(manager, new float[] {1, 2, 3, 4, 5, 6}, 3, 2);
            NDArray after = Torch.ofFloats(manager, new float[] {1, 2, 3, 4, 5, 6}, 2, 3);
            assertThat(Torch.toFloats(AwqSearch.unscaleResults(manager, before, scales)))
                    .containsExactly(2, 4, 1.5f, 2, 1.25f, 1.5f);
            assertThat(Torch.toFloats(AwqSearch.scaleInputs(manager, after, scales)))
                    .containsExactly(0.5f, 4, 12, 2, 10, 24);
        }
    }

    @Test
    void whatCannotBeQuantizedIsSaid() {
        try (NDManager manager = Torch.newManager()) {
            assertThatThrownBy(() -> AwqWeight.quantize(matrix(manager, 8, 48, 1), new AwqConfig(32)))
                    .isInstanceOf(QloraException.class)
                    .hasMessageContaining(
                            "48 inputs do not fall into groups of 32; a group_size that divides them is needed, 16");
            assertThatThrownBy(() -> AwqWeight.quantize(
                            Torch.ofFloats(manager, new float[] {1, 2, 3, 1e6f}, 1, 4), new AwqConfig(4)))
                    .isInstanceOf(QloraException.class)
                    .hasMessageContaining("too large for float16");
            assertThat(Torch.dtype(AwqWeight.quantize(Torch.zeros(manager, Dtype.BFLOAT16, 8, 32), new AwqConfig(32))
                            .codes()
                            .scales()))
                    .isEqualTo(Dtype.FLOAT16);
        }
    }
}
