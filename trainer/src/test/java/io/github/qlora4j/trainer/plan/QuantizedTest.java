package io.github.qlora4j.trainer.plan;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.qlora4j.quant.GptqCheckpoint;
import io.github.qlora4j.quant.GptqConfig;
import io.github.qlora4j.quant.GptqFormat;
import io.github.qlora4j.quant.WeightBytes;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.trainer.model.Family.Linear;
import io.github.qlora4j.trainer.plan.Quantized.EightBit;
import io.github.qlora4j.trainer.plan.Quantized.FourBit;
import io.github.qlora4j.trainer.plan.Quantized.InDirectory;
import io.github.qlora4j.trainer.plan.Quantized.Stored;
import java.util.Set;
import org.junit.jupiter.api.Test;

class QuantizedTest {

    private static final Linear LINEAR = new Linear("mlp.up_proj", 256, 512, false);
    private static final Quantized GPTQ = new Stored(new GptqCheckpoint(GptqConfig.DEFAULT, GptqFormat.GPTQ));

    @Test
    void fourBitsAreHalfAByteAWeightAndScalesOfBlocks() {
        // 2,048 blocks of 64: a byte each, a float for each 256 of them, and their mean; or a float each
        assertThat(new FourBit(64, true).bytes(LINEAR)).isEqualTo(new WeightBytes(65_536, 2_048 + 32 + 4, 65_536));
        assertThat(new FourBit(64, false).bytes(LINEAR)).isEqualTo(new WeightBytes(65_536, 8_192, 65_536));
        assertThat(new FourBit(64, false).bytes(new Linear("odd", 3, 5, false)).codes())
                .isEqualTo(8);
        assertThat(new FourBit(64, true).divided(LINEAR)).isEqualTo(65_536);
        assertThat(new FourBit(64, true).work(LINEAR, Dtype.BFLOAT16)).isEqualTo(131_072 * (2 + 4));
        assertThat(new FourBit(64, true).codes()).isEqualTo("4-bit codes");
        assertThat(new FourBit(64, true).madeReady()).isEqualTo("quantized");
    }

    @Test
    void eightBitsAreAByteAWeightAndAFloatARow() {
        assertThat(new EightBit().bytes(LINEAR)).isEqualTo(new WeightBytes(131_072, 1_024, 131_072));
        assertThat(new EightBit().codes()).isEqualTo("8-bit codes");
        assertThat(new EightBit().work(LINEAR, Dtype.FLOAT32)).isEqualTo(131_072 * (4 + 4));
    }

    @Test
    void aStoredSchemeSaysWhatItTakes() {
        // four groups of 128: scales in float16 and zero points of a byte; in the files zero points of half a byte, and
        // g_idx
        assertThat(GPTQ.bytes(LINEAR)).isEqualTo(new WeightBytes(65_536, 2_048 + 1_024, 65_536 + 2_048 + 512 + 2_048));
        assertThat(GPTQ.divided(LINEAR)).isEqualTo(65_536 + 2_048 + 1_024);
        assertThat(GPTQ.work(LINEAR, Dtype.FLOAT16)).isEqualTo(2 * 131_072);
        assertThat(GPTQ.codes()).isEqualTo("gptq codes");
        assertThat(GPTQ.madeReady()).isEqualTo("unpacked");
    }

    @Test
    void aDirectoryIsItsScheme_butForWhatItLeavesOutAndNeedNotQuantize() {
        String left = "model.layers.0.mlp.up_proj";
        Quantized made = new InDirectory(new EightBit(), Set.of(left), false);
        Quantized stored = new InDirectory(new EightBit(), Set.of(), true);
        Quantized grouped = new InDirectory(GPTQ, Set.of(), true);

        assertThat(made.leavesOut(left)).isTrue();
        assertThat(made.leavesOut("model.layers.1.mlp.up_proj")).isFalse();
        assertThat(new EightBit().leavesOut(left)).isFalse();
        assertThat(made.work(LINEAR, Dtype.BFLOAT16)).isEqualTo(131_072 * (2 + 4));
        assertThat(stored.work(LINEAR, Dtype.BFLOAT16)).isZero();
        assertThat(grouped.work(LINEAR, Dtype.BFLOAT16)).isEqualTo(2 * 131_072);
        assertThat(grouped.bytes(LINEAR)).isEqualTo(GPTQ.bytes(LINEAR));
        assertThat(grouped.divided(LINEAR)).isEqualTo(GPTQ.divided(LINEAR));
        assertThat(grouped.codes()).isEqualTo("gptq codes");
        assertThat(grouped.madeReady()).isEqualTo("unpacked");
    }
}
