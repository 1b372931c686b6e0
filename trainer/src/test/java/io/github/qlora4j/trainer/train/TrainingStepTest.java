package io.github.qlora4j.trainer.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.data.Batch;
import io.github.qlora4j.trainer.data.Example;
import io.github.qlora4j.trainer.model.BaseOptions;
import io.github.qlora4j.trainer.train.TrainingCurveGoldenTest.Setup;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class TrainingStepTest {

    private static final BaseOptions FLOAT32 = BaseOptions.unquantized(Dtype.FLOAT32);

    @ParameterizedTest
    @ValueSource(strings = {"llama-gqa", "mistral"})
    void accumulatingEightOneRowBatchesEqualsABatchOfEight(String name) {
        List<Example> rows = TrainingCurveGoldenTest.rows().subList(0, 8);
        try (Setup together = new Setup(name, FLOAT32, new Recomputation.All());
                Setup apart = new Setup(name, FLOAT32, new Recomputation.All())) {
            TrainingStep.Result whole = together.step.run(1, List.of(new Batch(rows)), 0);
            TrainingStep.Result parts = apart.step.run(
                    1, rows.stream().map(row -> new Batch(List.of(row))).toList(), 0);
            // sums of the same float32 numbers in another order
            assertThat(parts.loss()).isCloseTo(whole.loss(), within(1e-6));
            assertThat(parts.gradNorm()).isCloseTo(whole.gradNorm(), within(1e-5));
            for (int i = 0; i < together.step.gradients().size(); i++) {
                TrainingCurveGoldenTest.assertClose(
                        together.trained.parameters().get(i).name(),
                        Torch.toFloats(apart.step.gradients().get(i)),
                        Torch.toFloats(together.step.gradients().get(i)));
            }
        }
    }

    @Test
    void aRowsLossDoesNotDependOnItsNeighbours() {
        List<Example> rows = TrainingCurveGoldenTest.rows().subList(0, 6);
        try (Setup run = new Setup("llama-gqa", FLOAT32, new Recomputation.All())) {
            double sum = 0;
            int learned = 0;
            for (Example row : rows) {
                Batch alone = new Batch(List.of(row));
                sum += run.step.forwardAndBackward(1, alone, 1.0, 0);
                learned += alone.learned();
            }
            double together = run.step.forwardAndBackward(1, new Batch(rows), 1.0, 0);
            assertThat(together).isCloseTo(sum, within(1e-5 * learned));
        }
    }

    @Test
    void aThousandStepsLeaveNoArrayBehind() {
        List<Batch> batch = List.of(new Batch(TrainingCurveGoldenTest.rows().subList(0, 2)));
        try (Setup run = new Setup("llama-gqa", FLOAT32, new Recomputation.Within(1 << 16))) {
            run.step.run(1, batch, 1e-4);
            int before = arrays(root());
            for (int i = 2; i <= 1001; i++) {
                run.step.run(i, batch, 1e-4);
            }
            assertThat(arrays(root())).isEqualTo(before);
        }
    }

    @Test
    void aRunThatIsClosedLeavesNoArrayBehind() {
        int before = arrays(root());
        try (Setup run = new Setup("llama-gqa", FLOAT32, new Recomputation.None())) {
            run.step.run(1, List.of(new Batch(TrainingCurveGoldenTest.rows().subList(0, 2))), 1e-4);
            assertThat(arrays(root())).isGreaterThan(before);
        }
        assertThat(arrays(root())).isEqualTo(before);
    }

    @Test
    void stopsAtALossThatIsNotFiniteAndNamesStepRowsAndBlock() {
        try (Setup run = new Setup("llama-gqa", FLOAT32, new Recomputation.All())) {
            NDArray b = run.trained.parameters().stream()
                    .filter(p -> p.name().contains("layers.1.mlp.up_proj.lora_B"))
                    .findFirst()
                    .orElseThrow()
                    .value();
            Torch.bytes(b, 0, 4).putFloat(0, Float.NaN);
            float[] other = Torch.toFloats(run.trained.parameters().get(0).value());
            assertThatThrownBy(() -> run.step.run(
                            7, List.of(new Batch(TrainingCurveGoldenTest.rows().subList(0, 2))), 1e-3))
                    .isInstanceOf(NonFiniteLossException.class)
                    .hasMessageContaining("step 7")
                    .hasMessageContaining("rows")
                    .hasMessageContaining("layers.1");
            assertThat(Torch.toFloats(run.trained.parameters().get(0).value())).isEqualTo(other);
        }
    }

    /** The manager above all others. */
    private static NDManager root() {
        try (NDManager manager = Torch.newManager()) {
            return manager.getParentManager();
        }
    }

    /** Arrays that a manager and those below it hold. */
    private static int arrays(NDManager manager) {
        int count = manager.getManagedArrays().size();
        for (NDManager below : below(manager)) {
            count += arrays(below);
        }
        return count;
    }

    /** DJL keeps managers below a manager among its resources, out of reach of its API. */
    private static List<NDManager> below(NDManager manager) {
        try {
            java.lang.reflect.Field field = ai.djl.ndarray.BaseNDManager.class.getDeclaredField("resources");
            field.setAccessible(true);
            List<NDManager> managers = new ArrayList<>();
            for (Object resource : ((java.util.Map<?, ?>) field.get(manager)).values()) {
                if (resource instanceof NDManager found) {
                    managers.add(found);
                }
            }
            return managers;
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(e);
        }
    }
}
