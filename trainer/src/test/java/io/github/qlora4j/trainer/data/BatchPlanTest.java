package io.github.qlora4j.trainer.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.qlora4j.quant.QloraException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class BatchPlanTest {

    @ParameterizedTest
    @CsvSource({"10,2,2,0", "10,3,2,0", "1,2,8,0", "7,1,1,0", "33,4,3,64", "50,2,8,128", "5,8,8,0"})
    void anEpochIsEachRowOnce_inSteps_theLastOfThemSmaller(int rows, int batch, int accumulation, int packTo) {
        Dataset data = Rows.dataset(rows, rows);
        BatchPlan plan = new BatchPlan(data, new BatchPlan.Order(batch, accumulation, true, 42, packTo));
        List<List<String>> epochs = new ArrayList<>();
        for (int epoch = 0; epoch < 3; epoch++) {
            List<String> seen = new ArrayList<>();
            int batches = 0;
            for (int s = 0; s < plan.stepsPerEpoch(); s++) {
                List<Batch> step = plan.step(epoch * plan.stepsPerEpoch() + s);
                assertThat(step).hasSizeBetween(1, accumulation);
                if (s + 1 < plan.stepsPerEpoch()) {
                    assertThat(step).hasSize(accumulation);
                }
                batches += step.size();
                for (Batch b : step) {
                    if (packTo == 0) {
                        assertThat(b.rows()).hasSizeBetween(1, batch);
                    } else {
                        assertThat(b.tokens()).isLessThanOrEqualTo(batch * packTo);
                    }
                    b.rows().forEach(r -> seen.add(Arrays.toString(r.inputIds())));
                }
            }
            assertThat(batches).isEqualTo(plan.batchesPerEpoch());
            assertThat(seen)
                    .containsExactlyInAnyOrderElementsOf(IntStream.range(0, rows)
                            .mapToObj(i -> Arrays.toString(data.get(i).inputIds()))
                            .toList());
            epochs.add(seen);
        }
        if (rows > 5) {
            assertThat(epochs.get(0)).isNotEqualTo(epochs.get(1));
        }
    }

    @Test
    void anyStepCanBeAskedFor_soAResumedRunGoesOnAsItWould() {
        Dataset data = Rows.dataset(23, 3);
        BatchPlan.Order order = new BatchPlan.Order(2, 3, true, 5, 0);
        BatchPlan whole = new BatchPlan(data, order);
        List<String> expected =
                IntStream.range(0, 30).mapToObj(s -> text(whole.step(s))).toList();
        for (int s = 29; s >= 0; s -= 7) {
            assertThat(text(new BatchPlan(data, order).step(s))).isEqualTo(expected.get(s));
        }
        assertThat(text(whole.step(3))).isEqualTo(expected.get(3));
        assertThat(text(new BatchPlan(data, new BatchPlan.Order(2, 3, true, 6, 0)).step(0)))
                .isNotEqualTo(expected.get(0));
    }

    @Test
    void theOrderOfRowsNeverChangesBetweenVersions() {
        // From the published algorithm, computed apart from this code in Python.
        assertThat(new SplitMix64(42, 0).permutation(10)).containsExactly(PERMUTATION_42_0);
        assertThat(new SplitMix64(42, 1).permutation(10)).containsExactly(PERMUTATION_42_1);
    }

    private static final int[] PERMUTATION_42_0 = {7, 6, 0, 1, 9, 3, 4, 2, 8, 5};
    private static final int[] PERMUTATION_42_1 = {5, 4, 1, 8, 2, 7, 6, 9, 0, 3};

    @Test
    void permutationsAreFair() {
        int[][] counts = new int[5][5];
        for (int epoch = 0; epoch < 10_000; epoch++) {
            int[] order = new SplitMix64(1, epoch).permutation(5);
            for (int i = 0; i < 5; i++) {
                counts[i][order[i]]++;
            }
        }
        // 2,000 expected, standard deviation 40: six of them
        assertThat(Arrays.stream(counts).flatMapToInt(Arrays::stream)).allMatch(c -> Math.abs(c - 2000) < 240);
    }

    @Test
    void withoutShuffleTheOrderIsTheFiles() {
        Dataset data = Rows.dataset(5, 3);
        BatchPlan plan = new BatchPlan(data, new BatchPlan.Order(2, 2, false, 5, 0));
        assertThat(text(plan.step(0)))
                .isEqualTo(text(List.of(
                        new Batch(List.of(data.get(0), data.get(1))), new Batch(List.of(data.get(2), data.get(3))))));
        assertThat(text(plan.step(3))).isEqualTo(text(List.of(new Batch(List.of(data.get(4))))));
        List<Batch> eval = BatchPlan.inOrder(data, 2).toList();
        assertThat(eval).hasSize(3);
        assertThat(eval.get(2).rows()).hasSize(1);
    }

    @ParameterizedTest
    @CsvSource({
        // rows, batch, accumulation, epochs, max_steps, steps: as transformers' Trainer counts them
        "100,2,8,1,-1,7",
        "100,2,8,3,-1,21",
        "100,2,8,0.5,-1,4",
        "100,2,8,1.5,-1,11",
        "100,2,8,0.01,-1,1",
        "100,2,8,1,3,3",
        "100,2,8,1,1000,1000",
        "1,2,8,1,-1,1",
        "16,2,8,2,0,2",
    })
    void stepsAreCountedAsTrainerDoes(int rows, int batch, int accumulation, double epochs, int maxSteps, int steps) {
        BatchPlan plan = new BatchPlan(Rows.dataset(rows, 1), new BatchPlan.Order(batch, accumulation, true, 1, 0));
        assertThat(plan.totalSteps(epochs, maxSteps)).isEqualTo(steps);
    }

    @Test
    void epochsAreCountedByBatches() {
        BatchPlan plan = new BatchPlan(Rows.dataset(10, 1), new BatchPlan.Order(2, 2, true, 1, 0));
        assertThat(plan.stepsPerEpoch()).isEqualTo(3);
        assertThat(plan.epochAfter(0)).isZero();
        assertThat(plan.epochAfter(1)).isEqualTo(0.4);
        assertThat(plan.epochAfter(3)).isEqualTo(1.0);
        assertThat(plan.epochAfter(5)).isEqualTo(1.8);
    }

    @Test
    void tooManyStepsAreAnError() {
        BatchPlan plan = new BatchPlan(Rows.dataset(10, 1), new BatchPlan.Order(1, 1, true, 1, 0));
        assertThatThrownBy(() -> plan.totalSteps(1e9, -1)).isInstanceOf(QloraException.class);
        BatchPlan one = new BatchPlan(Rows.dataset(1, 1), new BatchPlan.Order(1, 1, true, 1, 0));
        assertThat(one.totalSteps(Integer.MAX_VALUE, -1)).isEqualTo(Integer.MAX_VALUE);
        assertThatThrownBy(() -> new BatchPlan(Dataset.of(List.of()), new BatchPlan.Order(1, 1, true, 1, 0)))
                .isInstanceOf(QloraException.class);
    }

    @Test
    void whatCannotBeIsRefused() {
        for (int[] wrong : new int[][] {{0, 1, 0}, {1, 0, 0}, {1, 1, -1}}) {
            assertThatThrownBy(() -> new BatchPlan.Order(wrong[0], wrong[1], true, 1, wrong[2]))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("batchSize=" + wrong[0] + ", accumulation=" + wrong[1]);
        }
        BatchPlan plan = new BatchPlan(Rows.dataset(3, 1), new BatchPlan.Order(1, 1, true, 1, 0));
        assertThatThrownBy(() -> plan.step(-1)).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> plan.totalSteps(0, 0)).isInstanceOf(QloraException.class);
        assertThatThrownBy(() -> new Batch(List.of())).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new Example(new int[2], new int[1]))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("labels must be as many as ids: 1 labels, 2 ids");
    }

    @Test
    void aRowAsLongAsABinFillsIt() {
        Dataset data = Dataset.of(List.of(Rows.example(8, 1, new Random(1)), Rows.example(8, 1, new Random(2))));
        BatchPlan plan = new BatchPlan(data, new BatchPlan.Order(1, 1, false, 1, 8));
        Packing packing = plan.packing().orElseThrow();
        assertThat(packing.bins()).hasSize(2);
        assertThat(packing.fill()).isEqualTo(1);
        assertThat(packing.summary(2)).isEqualTo("packing: 2 rows in 2 bins of up to 8 tokens, 100.0 % full");
        assertThat(plan.batchesPerEpoch()).isEqualTo(2);
        assertThat(new Packing(List.of(), 8, 0).fill()).isZero();
        BatchPlan unpacked = new BatchPlan(data, new BatchPlan.Order(1, 1, false, 1, 0));
        assertThat(unpacked.packing()).isEmpty();
    }

    @Test
    void eachRowGoesToTheFullestBinThatTakesIt() {
        List<Example> rows = new ArrayList<>();
        for (int length : new int[] {5, 7, 3, 2, 3}) {
            rows.add(Rows.example(length, 0, new Random(length)));
        }
        // 7 opens a bin, 5 another; 3 fits 7's exactly, 3 the other, where 2 follows
        Packing packing = Packing.of(Dataset.of(rows), 10);
        assertThat(packing.bins()).extracting(Arrays::toString).containsExactly("[0, 3, 4]", "[1, 2]");
        assertThat(packing.tokens()).isEqualTo(20);
        assertThat(packing.fill()).isEqualTo(1);
    }

    @Test
    void theLongestRowsAreDealtOutFirst() {
        List<Example> rows = new ArrayList<>();
        for (int length : new int[] {3, 5, 7}) {
            rows.add(Rows.example(length, 0, new Random(length)));
        }
        // 7 and 5 open bins, and 3 fits 7's exactly; in the order of the rows it would have gone to 5's
        Packing packing = Packing.of(Dataset.of(rows), 10);
        assertThat(packing.bins()).extracting(Arrays::toString).containsExactly("[0, 2]", "[1]");
        assertThat(packing.summary(3)).isEqualTo("packing: 3 rows in 2 bins of up to 10 tokens, 75.0 % full");
    }

    @Test
    void labelsWithHolesAreCountedOneByOne() {
        Dataset data = Dataset.of(List.of(
                new Example(new int[] {1, 2, 3, 4}, new int[] {-100, 2, -100, 9}),
                new Example(new int[] {1, 2, 3, 4}, new int[] {-100, -100, 3, 4})));
        assertThat(data.report().learnedTokens()).isEqualTo(4);
        // labels are kept only where they are not the ids from some place on
        assertThat(data.held().get(0).labels()).containsExactly(-100, 2, -100, 9);
        assertThat(data.held().get(1)).extracting(Dataset.Held::labels).isNull();
        assertThat(data.held().get(1).learnedFrom()).isEqualTo(2);
    }

    @Test
    void aFingerprintIsOfAllIdsAndLabels() {
        String one = fingerprint(new int[] {1, 2, 3}, new int[] {-100, 2, 3});
        assertThat(one).hasSize(64).isEqualTo(fingerprint(new int[] {1, 2, 3}, new int[] {-100, 2, 3}));
        assertThat(fingerprint(new int[] {1, 2, 4}, new int[] {-100, 2, 3})).isNotEqualTo(one);
        assertThat(fingerprint(new int[] {1, 2, 3}, new int[] {-100, -100, 3})).isNotEqualTo(one);
    }

    private static String fingerprint(int[] ids, int[] labels) {
        return Dataset.of(List.of(new Example(ids, labels))).fingerprint();
    }

    @Test
    void aDatasetKnowsItsLargestIdAndItsMeanLength() {
        Dataset data = Dataset.of(List.of(
                new Example(new int[] {3, 9, 4}, new int[] {3, 9, 4}),
                new Example(new int[] {5, 6}, new int[] {5, 6})));
        assertThat(data.largestId()).isEqualTo(9);
        assertThat(Dataset.of(List.of()).largestId()).isZero();
        assertThat(data.report().meanLength()).isEqualTo(2.5);
        assertThat(Dataset.of(List.of()).report().meanLength()).isZero();
        assertThat(data.report().summary()).isEqualTo("2 rows; 5 tokens, 3 learned; mean length 2.5, longest 3");
        assertThat(new DataReport(1000, 1, 2, 3, 994, 5000, 4000, 9, "").summary())
                .isEqualTo(
                        "994 rows of 1,000; 1 bad rows left out; 2 with nothing left to learn left out; 3 answers cut;"
                                + " 5,000 tokens, 4,000 learned; mean length 5.0, longest 9");
    }

    @Test
    void binsAreFilledWell_andTheSameEveryTime() {
        for (int seed = 0; seed < 50; seed++) {
            Dataset data = Rows.dataset(1 + seed * 4, seed);
            int capacity = 61 + new Random(seed).nextInt(100);
            Packing packing = Packing.of(data, capacity);
            Set<Integer> seen = new HashSet<>();
            int halfEmpty = 0;
            for (int[] bin : packing.bins()) {
                int tokens = Arrays.stream(bin).map(data::length).sum();
                assertThat(tokens).as("seed %d", seed).isLessThanOrEqualTo(capacity);
                halfEmpty += 2 * tokens <= capacity ? 1 : 0;
                Arrays.stream(bin).forEach(r -> assertThat(seen.add(r)).isTrue());
            }
            assertThat(seen).hasSize(data.size());
            // Two bins that are both at most half full would have been one.
            assertThat(halfEmpty).as("seed %d", seed).isLessThanOrEqualTo(1);
            assertThat(packing.fill()).isBetween(0.0, 1.0);
            assertThat(Packing.of(data, capacity).bins())
                    .usingRecursiveComparison()
                    .isEqualTo(packing.bins());
        }
        assertThatThrownBy(() -> new BatchPlan(Rows.dataset(50, 1), new BatchPlan.Order(1, 1, true, 1, 10)))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("bin of 10");
    }

    @Test
    void packedRowsAreTheRowsOneBehindTheOther() {
        Example first = new Example(new int[] {5, 6, 7}, new int[] {-100, 6, 7});
        Example second = new Example(new int[] {8, 9, 10, 11}, new int[] {8, -100, -100, 3});
        PackedRows packed = new Batch(List.of(first, second)).packed();
        assertThat(packed.inputIds()).containsExactly(5, 6, 7, 8, 9, 10, 11);
        assertThat(packed.positions()).containsExactly(0, 1, 2, 0, 1, 2, 3);
        assertThat(packed.rowStarts()).containsExactly(0, 3, 7);
        // Never across rows: the label of a row's first token is not learned.
        assertThat(packed.learnedPositions()).containsExactly(0, 1, 5);
        assertThat(packed.learnedTargets()).containsExactly(6, 7, 3);
        assertThat(packed.rows()).isEqualTo(2);
        assertThat(packed.tokens()).isEqualTo(7);
        assertThat(packed.learned()).isEqualTo(3);
        assertThat(packed.longestRow()).isEqualTo(4);
        assertThat(new Batch(List.of(first, second)).learned()).isEqualTo(3);
    }

    @Test
    void packedRowsCountAsTheirExamplesDo() {
        for (int seed = 0; seed < 30; seed++) {
            Dataset data = Rows.dataset(9, seed);
            Batch batch = new Batch(IntStream.range(0, 9).mapToObj(data::get).toList());
            PackedRows packed = batch.packed();
            assertThat(packed.learned()).as("seed %d", seed).isEqualTo(batch.learned());
            assertThat(packed.tokens()).isEqualTo(batch.tokens());
            assertThat(data.report().learnedTokens()).isEqualTo(batch.learned());
            for (int i = 0; i < packed.learned(); i++) {
                int p = packed.learnedPositions()[i];
                assertThat(packed.learnedTargets()[i]).isEqualTo(packed.inputIds()[p + 1]);
                assertThat(packed.positions()[p + 1]).isEqualTo(packed.positions()[p] + 1);
            }
        }
    }

    private static String text(List<Batch> step) {
        StringBuilder text = new StringBuilder();
        for (Batch batch : step) {
            text.append("batch");
            batch.rows().forEach(row -> text.append(Arrays.toString(row.inputIds())));
        }
        return text.toString();
    }
}
