package io.github.qlora4j.trainer.train;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.trainer.model.ModelConfig;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/** On the shape of golden/models/mistral, counted by hand. */
class RecomputationTest {

    private final ModelConfig config = ModelConfig.read(Path.of("src/test/resources/golden/models/mistral"));

    // hidden 32, 4 heads and 2 key heads of 8, MLP 48, 2 layers, vocabulary 96
    private static final long NORMS = 2 * 4 * 32;
    private static final long WIDTHS = 2 * 32 + 8 * (4 + 2 * 2) + 4 * 48;
    private static final long BFLOAT16_GRAPH = NORMS + 2 * WIDTHS;
    private static final long CASTS = 5 * 4 * 32;

    @Test
    void aGraphIsNormsProjectionsTheMlpAndTheAdaptersCasts() {
        assertThat(Recomputation.graphBytesPerToken(config, Dtype.BFLOAT16, Dtype.BFLOAT16))
                .isEqualTo(BFLOAT16_GRAPH);
        assertThat(Recomputation.graphBytesPerToken(config, Dtype.FLOAT32, Dtype.FLOAT32))
                .isEqualTo(NORMS + 4 * WIDTHS);
        assertThat(Recomputation.graphBytesPerToken(config, Dtype.BFLOAT16, Dtype.FLOAT32))
                .isEqualTo(BFLOAT16_GRAPH + CASTS);
    }

    @Test
    void thePassNeedsWhatBlocksKeepTwoGraphsAndAChunkOfLogits() {
        long kept = 2 * (3 * 32 * 2 + 4 * 4);
        assertThat(Recomputation.leastBytes(config, Dtype.BFLOAT16, 10))
                .isEqualTo(10 * (kept + 2 * (BFLOAT16_GRAPH + CASTS)) + 256 * 96 * 12);
    }

    @Test
    void asManyBlocksKeepTheirGraphAsFit() {
        assertThat(kept(new Recomputation.All())).isZero();
        assertThat(kept(new Recomputation.None())).isEqualTo(2);
        assertThat(kept(new Recomputation.Within(10 * BFLOAT16_GRAPH - 1))).isZero();
        assertThat(kept(new Recomputation.Within(10 * BFLOAT16_GRAPH))).isEqualTo(1);
        assertThat(kept(new Recomputation.Within(20 * BFLOAT16_GRAPH))).isEqualTo(2);
        assertThat(kept(new Recomputation.Within(Long.MAX_VALUE))).isEqualTo(2);
        assertThat(kept(new Recomputation.Within(-10 * BFLOAT16_GRAPH))).isZero();
        assertThat(new Recomputation.Within(1).keptBlocks(config, Dtype.BFLOAT16, Dtype.BFLOAT16, 0))
                .as("a pass without tokens")
                .isEqualTo(1);
    }

    private int kept(Recomputation recomputation) {
        return recomputation.keptBlocks(config, Dtype.BFLOAT16, Dtype.BFLOAT16, 10);
    }
}
