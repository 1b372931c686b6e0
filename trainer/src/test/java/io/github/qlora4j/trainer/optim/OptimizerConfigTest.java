package io.github.qlora4j.trainer.optim;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.trainer.config.OptimizerName;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class OptimizerConfigTest {

    private static final OptimizerConfig ADAMW = OptimizerConfig.of(OptimizerName.ADAMW_TORCH);

    @Test
    void hasTheDefaultsOfTrainingArguments() {
        assertThat(ADAMW)
                .isEqualTo(new OptimizerConfig(OptimizerName.ADAMW_TORCH, 0.9, 0.999, 1e-8, 0, 64 << 20, null));
    }

    @Test
    void eachChangeLeavesTheRest() {
        Path dir = Path.of("pages");
        assertThat(ADAMW.withWeightDecay(0.1).withBetas(0, 0.5).withEps(0).withPages(dir, 1))
                .isEqualTo(new OptimizerConfig(OptimizerName.ADAMW_TORCH, 0, 0.5, 0, 0.1, 1, dir));
        assertThat(ADAMW.withPages(dir, 1).withEps(1).withBetas(0.5, 0).withWeightDecay(0))
                .isEqualTo(new OptimizerConfig(OptimizerName.ADAMW_TORCH, 0.5, 0, 1, 0, 1, dir));
    }

    @ParameterizedTest
    @CsvSource({
        "1, 0.5, 0, 0, 1, 'adam_beta1 must be in [0, 1), got 1.0'",
        "-0.1, 0.5, 0, 0, 1, 'adam_beta1 must be in [0, 1), got -0.1'",
        "0.5, 1, 0, 0, 1, 'adam_beta2 must be in [0, 1), got 1.0'",
        "0.5, -0.1, 0, 0, 1, 'adam_beta2 must be in [0, 1), got -0.1'",
        "0.5, NaN, 0, 0, 1, 'adam_beta2 must be in [0, 1), got NaN'",
        "0.5, 0.5, -1, 0, 1, 'adam_epsilon must be a number >= 0, got -1.0'",
        "0.5, 0.5, Infinity, 0, 1, 'adam_epsilon must be a number >= 0, got Infinity'",
        "0.5, 0.5, 0, -1, 1, 'weight_decay must be a number >= 0, got -1.0'",
        "0.5, 0.5, 0, Infinity, 1, 'weight_decay must be a number >= 0, got Infinity'",
        "0.5, 0.5, 0, 0, 0, 'paged_resident must be above 0 bytes, got 0'",
    })
    void refusesWhatIsOutOfRangeByItsKey(
            double beta1, double beta2, double eps, double decay, long resident, String message) {
        assertThatThrownBy(
                        () -> new OptimizerConfig(OptimizerName.ADAMW_TORCH, beta1, beta2, eps, decay, resident, null))
                .isInstanceOf(QloraException.class)
                .hasMessage(message);
    }

    /** Two moments: four bytes each, or one with an absmax a block of 256; and a float32 copy of what is narrower. */
    @ParameterizedTest
    @CsvSource({
        "ADAMW_TORCH, 5000, FLOAT32, 40000",
        "ADAMW_TORCH, 5000, BFLOAT16, 60000",
        "ADAMW_8BIT, 4095, FLOAT32, 32760",
        "ADAMW_8BIT, 4096, FLOAT32, 8320",
        "ADAMW_8BIT, 4097, FLOAT32, 8330",
        "ADAMW_8BIT, 4352, BFLOAT16, 26248",
        "PAGED_ADAMW_8BIT, 4097, FLOAT16, 24718",
    })
    void stateIsCountedAsItIsKept(OptimizerName name, long elements, Dtype dtype, long bytes) {
        assertThat(OptimizerConfig.of(name).stateBytes(elements, dtype)).isEqualTo(bytes);
    }
}
