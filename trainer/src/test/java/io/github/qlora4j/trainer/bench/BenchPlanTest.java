package io.github.qlora4j.trainer.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.trainer.config.Precision;
import java.util.List;
import org.junit.jupiter.api.Test;

class BenchPlanTest {

    private static final List<BenchScheme> SCHEMES = List.of(BenchScheme.NF4);

    private static BenchPlan plan(List<Integer> lengths, int rounds, int newTokens, int threads) {
        return new BenchPlan("m", SCHEMES, lengths, List.of(4, 1), rounds, newTokens, Precision.FLOAT32, threads);
    }

    @Test
    void plansTheSmallerThingsFirst_eachOnce() {
        BenchPlan plan = plan(List.of(64, 8, 64), 1, 2, 1);
        assertThat(plan.cells())
                .extracting(BenchPlan.Cell::toString)
                .containsExactly("1 × 8", "4 × 8", "1 × 64", "4 × 64");
        // a warm-up and a round: 360 tokens forward, as many of prompts, and 4 x 2 generated ones that count for 20
        // each
        assertThat(plan.work()).isEqualTo(2 * (360 + 360 + 8 * 20));
        assertThat(Message.JSON.fromJson(Message.JSON.toJson(plan), BenchPlan.class))
                .isEqualTo(plan);
    }

    @Test
    void numbersOutOfRangeAreNamed() {
        refused("--rounds: 1001 is not from 1 to 1000", List.of(8), 1001, 5, 1);
        refused("--new-tokens: 1 is not from 2 to 16777216", List.of(8), 1, 1, 1);
        refused("--threads: -1 is not from 0 to 1024", List.of(8), 1, 5, -1);
        refused("--threads: 1025 is not from 0 to 1024", List.of(8), 1, 5, 1025);
        refused("--lengths: 16777217 is not from 2 to 16777216", List.of(8, (1 << 24) + 1), 1, 5, 1);
        refused("--lengths has no number", List.of(), 1, 5, 1);
        assertThat(plan(List.of(2, 1 << 24), 1000, 2, 0).lengths()).containsExactly(2, 1 << 24);
        assertThatThrownBy(() -> new BenchPlan("m", List.of(), List.of(8), List.of(1), 1, 5, Precision.AUTO, 0))
                .hasMessage("--schemes names none");
    }

    private static void refused(String message, List<Integer> lengths, int rounds, int newTokens, int threads) {
        assertThatThrownBy(() -> plan(lengths, rounds, newTokens, threads))
                .isInstanceOf(QloraException.class)
                .hasMessage(message);
    }

    @Test
    void aSchemeThatCannotBeMeasuredIsToldThoseThatCan() {
        assertThat(BenchScheme.ofKey("nf4-double")).isEqualTo(BenchScheme.NF4_DOUBLE);
        assertThatThrownBy(() -> BenchScheme.ofKey("nf3"))
                .isInstanceOf(QloraException.class)
                .hasMessage("scheme nf3 cannot be measured; expected some of stored, float32, bfloat16, float16, nf4,"
                        + " nf4-double, fp4, fp4-double, int8, gptq, awq");
    }
}
