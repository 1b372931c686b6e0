package io.github.qlora4j.trainer.model;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class AttentionGroupsTest {

    @Test
    void rowsOfOneLengthLieAsTheyAre() {
        AttentionGroups groups = AttentionGroups.of(new int[] {0, 7, 14, 21});

        assertThat(groups.layout()).containsExactly(3, 7);
        assertThat(groups.padded()).isEmpty();
        assertThat(groups.places()).isEmpty();
    }

    @Test
    void manyRowsOfOneLengthAreAttendedAFewAtATime() {
        AttentionGroups groups = AttentionGroups.of(
                starts(IntStream.generate(() -> 3000).limit(5).toArray()));

        assertThat(groups.layout()).containsExactly(2, 3000, 2, 3000, 1, 3000);
    }

    @Test
    void rowsUpToAThirdShorterAreAttendedTogether_andShortOnesAmongThemselves() {
        AttentionGroups groups = AttentionGroups.of(starts(300, 400, 299, 128, 3));

        assertThat(groups.layout()).containsExactly(2, 400, 1, 304, 2, 128);
    }

    @Test
    void everyTokenHasOnePlaceInTheRowItBelongsTo() {
        long seed = 20261125;
        Random random = new Random(seed);
        for (int round = 0; round < 200; round++) {
            int[] lengths = random.ints(1 + random.nextInt(20), 1, 600).toArray();
            int[] starts = starts(lengths);
            AttentionGroups groups = AttentionGroups.of(starts);
            String what = "seed " + seed + ", round " + round + ", lengths " + Arrays.toString(lengths);

            int places = 0;
            int rows = 0;
            for (int g = 0; g < groups.layout().length; g += 2) {
                places += (int) (groups.layout()[g] * groups.layout()[g + 1]);
                rows += (int) groups.layout()[g];
            }
            assertThat(rows).as(what).isEqualTo(lengths.length);
            if (groups.places().length == 0) {
                assertThat(Arrays.stream(lengths).distinct().count()).as(what).isEqualTo(1);
                continue;
            }
            assertThat(groups.padded()).as(what).hasSize(places);
            for (int row = 0; row < lengths.length; row++) {
                for (int i = starts[row]; i < starts[row + 1]; i++) {
                    assertThat(groups.padded()[groups.places()[i]]).as(what).isEqualTo(i);
                    // a row's tokens stand one behind the other
                    assertThat(groups.places()[i] - groups.places()[starts[row]])
                            .as(what)
                            .isEqualTo(i - starts[row]);
                }
            }
        }
    }

    private static int[] starts(int... lengths) {
        int[] starts = new int[lengths.length + 1];
        for (int i = 0; i < lengths.length; i++) {
            starts[i + 1] = starts[i] + lengths[i];
        }
        return starts;
    }
}
