package io.github.qlora4j.trainer.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.data.Batch;
import io.github.qlora4j.trainer.data.BatchPlan;
import io.github.qlora4j.trainer.data.Dataset;
import io.github.qlora4j.trainer.data.Example;
import io.github.qlora4j.trainer.model.BaseOptions;
import io.github.qlora4j.trainer.model.Recomputation;
import io.github.qlora4j.trainer.train.TrainingCurveGoldenTest.Setup;
import java.util.ArrayList;
import java.util.Arrays;
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

    @ParameterizedTest
    @ValueSource(strings = {"llama-gqa", "mistral"})
    void packingGivesTheLossAndGradientsOfTheRowsApart(String name) {
        List<Example> rows = TrainingCurveGoldenTest.rows().subList(0, 8);
        BatchPlan bins = new BatchPlan(Dataset.of(rows), new BatchPlan.Order(1, 8, false, 0, 128));
        List<Batch> packed = bins.step(0);
        assertThat(bins.stepsPerEpoch()).isEqualTo(1);
        assertThat(packed)
                .hasSizeLessThan(rows.size())
                .anyMatch(bin -> bin.rows().size() > 2);
        try (Setup apart = new Setup(name, FLOAT32, new Recomputation.All());
                Setup binned = new Setup(name, FLOAT32, new Recomputation.All())) {
            TrainingStep.Result parts = apart.step.run(
                    1, rows.stream().map(row -> new Batch(List.of(row))).toList(), 0);
            TrainingStep.Result whole = binned.step.run(1, packed, 0);
            assertThat(whole.learnedTokens()).isEqualTo(parts.learnedTokens());
            // sums of the same float32 numbers in another order
            assertThat(whole.loss()).isCloseTo(parts.loss(), within(1e-6));
            assertThat(whole.gradNorm()).isCloseTo(parts.gradNorm(), within(1e-5));
            for (int i = 0; i < apart.step.gradients().size(); i++) {
                TrainingCurveGoldenTest.assertClose(
                        apart.trained.parameters().get(i).name(),
                        Torch.toFloats(binned.step.gradients().get(i)),
                        Torch.toFloats(apart.step.gradients().get(i)));
            }
        }
    }

    @Test
    void aRowsLossIsTheOneItHasAlone() {
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

    /** Whatever lies beside a row: other tokens of the same lengths take the same kernels, so every bit must stay. */
    @ParameterizedTest
    @ValueSource(strings = {"llama-gqa", "llama-gqa-bf16", "llama-gqa-nf4-bf16", "mistral"})
    void noBitOfARowsLossAndGradientsDependsOnItsNeighbours(String name) {
        BaseOptions options = switch (name) {
            case "llama-gqa-bf16" -> BaseOptions.unquantized(Dtype.BFLOAT16);
            case "llama-gqa-nf4-bf16" ->
                BaseOptions.fourBit(FourBitConfig.DEFAULT, Dtype.BFLOAT16).withDtype(Dtype.BFLOAT16);
            default -> FLOAT32;
        };
        List<Example> rows = TrainingCurveGoldenTest.rows();
        Example row = rows.get(3);
        try (Setup run = new Setup(name, options, new Recomputation.All())) {
            List<Double> losses = new ArrayList<>();
            List<List<float[]>> gradients = new ArrayList<>();
            for (int shift : new int[] {0, 1, 40}) {
                Batch batch = new Batch(List.of(unlearned(rows.get(1), shift), row, unlearned(rows.get(2), shift)));
                losses.add(run.step.run(1, List.of(batch), 0).loss());
                gradients.add(run.step.gradients().stream().map(Torch::toFloats).toList());
            }
            for (int other = 1; other < losses.size(); other++) {
                assertThat(losses.get(other)).isEqualTo(losses.get(0));
                for (int i = 0; i < gradients.get(0).size(); i++) {
                    assertThat(gradients.get(other).get(i))
                            .as(run.trained.parameters().get(i).name())
                            .containsExactly(gradients.get(0).get(i));
                }
            }
        }
    }

    /** A row of the same length and other tokens, none of them learned. */
    private static Example unlearned(Example row, int shift) {
        int[] ids =
                Arrays.stream(row.inputIds()).map(id -> 4 + (id + shift) % 90).toArray();
        int[] labels = new int[ids.length];
        Arrays.fill(labels, Example.MASKED);
        return new Example(ids, labels);
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
