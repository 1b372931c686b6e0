package io.github.qlora4j.trainer.model;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.qlora4j.quant.torch.Dtype;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/** On the shape of golden/models/mistral, counted by hand. */
class RecomputationTest {

    private final ModelConfig config = ModelConfig.read(Path.of("src/test/resources/golden/models/mistral"));

    // hidden 32, 4 heads and 2 key heads of 8, MLP 48, 2 layers, vocabulary 96
    private static final long WIDTHS = 8 * (4 + 2 * 2) + 2 * 48;
    private static final long BFLOAT16_PARTS = 2 * WIDTHS;

    @Test
    void partsAreQueryKeyValueGateAndUp() {
        assertThat(Recomputation.partsBytesPerToken(config, Dtype.BFLOAT16)).isEqualTo(BFLOAT16_PARTS);
        assertThat(Recomputation.partsBytesPerToken(config, Dtype.FLOAT32)).isEqualTo(4 * WIDTHS);
    }

    @Test
    void thePassNeedsWhatBlocksKeepTheWorkOnOneAndScoresOrLogits() {
        long kept = 2 * 3 * 32 * 2;
        long work = 2 * (6 * 32 + 4 * 48) + 2 * BFLOAT16_PARTS + 16 * 32;
        assertThat(Recomputation.leastBytes(config, Dtype.BFLOAT16, 10))
                .isEqualTo(10 * (kept + work) + 10 * 96 * (4 + 2 * 2));
        assertThat(Recomputation.onceBytes(config, Dtype.BFLOAT16, 10_000)).isEqualTo(3 * 4194304 * 2);
    }

    @Test
    void theLastBlockAndAsManyMoreAsFitKeepTheirParts() {
        assertThat(kept(new Recomputation.All())).isEqualTo(2);
        long tokens = Recomputation.ALLOWANCE / BFLOAT16_PARTS;
        assertThat(new Recomputation.All().keptBlocks(config, Dtype.BFLOAT16, tokens))
                .isEqualTo(2);
        assertThat(new Recomputation.All().keptBlocks(config, Dtype.BFLOAT16, tokens + 1))
                .isEqualTo(1);
        assertThat(kept(new Recomputation.None())).isEqualTo(2);
        assertThat(kept(new Recomputation.Within(10 * BFLOAT16_PARTS - 1))).isEqualTo(1);
        assertThat(kept(new Recomputation.Within(10 * BFLOAT16_PARTS))).isEqualTo(2);
        assertThat(kept(new Recomputation.Within(Long.MAX_VALUE))).isEqualTo(2);
        assertThat(kept(new Recomputation.Within(-10 * BFLOAT16_PARTS))).isEqualTo(1);
        assertThat(new Recomputation.Within(1).keptBlocks(config, Dtype.BFLOAT16, 0))
                .as("a pass without tokens")
                .isEqualTo(2);
    }

    private int kept(Recomputation recomputation) {
        return recomputation.keptBlocks(config, Dtype.BFLOAT16, 10);
    }
}
