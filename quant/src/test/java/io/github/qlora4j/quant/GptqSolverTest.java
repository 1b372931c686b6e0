package io.github.qlora4j.quant;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Compares with the solver of auto-gptq 0.7.1; scripts/golden/grouped.py ran it. */
class GptqSolverTest {

    @BeforeAll
    static void oneThread() {
        Torch.setThreads(1);
    }

    static Stream<JsonObject> cases() {
        return GroupedGolden.cases("gptq").stream();
    }

    @ParameterizedTest
    @MethodSource("cases")
    void codesScalesZeroPointsAndGroupsEqualAutoGptq(JsonObject golden) {
        int rows = GroupedGolden.number(golden, "rows");
        int cols = GroupedGolden.number(golden, "cols");
        int seed = GroupedGolden.number(golden, "seed");
        Dtype dtype = Dtype.ofTorchName(GroupedGolden.text(golden, "dtype"));
        GptqConfig config = GptqCheckpointTest.config(golden);
        try (NDManager manager = Torch.newManager();
                GptqSolver solver = new GptqSolver(cols)) {
            NDArray matrix = Torch.cast(
                    manager, Torch.ofFloats(manager, GoldenInputs.uniform(rows * cols, seed), rows, cols), dtype);
            solver.add(Torch.ofFloats(manager, GoldenInputs.activations(2, cols, cols, seed + 1), 2 * cols, cols), 2);
            try (GptqWeight weight = solver.solve(matrix, config, dtype)) {
                Map<String, NDArray> theirs = GroupedGolden.parts(manager, "gptq", seed, "m");
                new GptqCheckpoint(config, GptqFormat.GPTQ)
                        .tensors(manager, "m", weight)
                        .forEach((name, tensor) -> assertThat(GroupedGolden.bytes(tensor))
                                .as("%s: %s", name, golden)
                                .isEqualTo(GroupedGolden.bytes(theirs.get(name))));
                assertThat(solver.loss()).isPositive();
            }
        }
    }

    /** Sums of products of 15 tokens, in float32 and in an order of the library's own: 2 units of the last place. */
    @Test
    void theHessianIsTheRunningMeanOverSamples() {
        try (NDManager manager = Torch.newManager();
                GptqSolver solver = new GptqSolver(32)) {
            solver.add(Torch.ofFloats(manager, GoldenInputs.activations(1, 3, 32, 1000), 3, 32), 1);
            solver.add(Torch.ofFloats(manager, GoldenInputs.activations(2, 5, 32, 1001), 10, 32), 2);
            solver.add(Torch.ofFloats(manager, GoldenInputs.activations(1, 7, 32, 1002), 7, 32), 1);
            float[] expected = Torch.toFloats(GroupedGolden.tensor(manager, "gptq", "hessian"));
            float[] found = Torch.toFloats(solver.hessian());
            float largest = 0;
            for (float value : expected) {
                largest = Math.max(largest, Math.abs(value));
            }
            for (int i = 0; i < expected.length; i++) {
                assertThat(found[i]).as("element %d", i).isCloseTo(expected[i], within(largest * 0x1p-22f));
            }
        }
    }

    @Test
    void whatCannotBeQuantizedIsSaid() {
        try (NDManager manager = Torch.newManager();
                GptqSolver solver = new GptqSolver(4);
                GptqSolver unseen = new GptqSolver(4)) {
            NDArray matrix = Torch.ofFloats(manager, new float[8], 2, 4);
            assertThatThrownBy(() -> unseen.solve(matrix, GptqConfig.DEFAULT, Dtype.FLOAT16))
                    .isInstanceOf(IllegalStateException.class);
            float[] inputs = {1, 2, 3, Float.NaN};
            solver.add(Torch.ofFloats(manager, inputs, 1, 4), 1);
            assertThatThrownBy(() -> solver.solve(matrix, GptqConfig.DEFAULT, Dtype.FLOAT16))
                    .isInstanceOf(QloraException.class)
                    .hasMessageContaining("cannot be inverted")
                    .hasMessageContaining("damp_percent");
        }
    }

    /** A matrix of zeros stays one, whatever the inputs. */
    @Test
    void zerosStayZeros() {
        try (NDManager manager = Torch.newManager();
                GptqSolver solver = new GptqSolver(8);
                Scratch scratch = new Scratch()) {
            solver.add(Torch.zeros(manager, Dtype.FLOAT32, 2, 8), 1);
            try (GptqWeight weight = solver.solve(
                    Torch.zeros(manager, Dtype.FLOAT32, 3, 8),
                    new GptqConfig(4, -1, false, true, false, 0.01),
                    Dtype.FLOAT16)) {
                assertThat(Torch.toFloats(weight.dense(Dtype.FLOAT32, scratch))).containsOnly(0f);
            }
        }
    }
}
