package io.github.qlora4j.trainer.model;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.trainer.config.Precision;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ComputeDtypeTest {

    @ParameterizedTest
    @CsvSource({
        "Linux, 'flags : fpu avx512f avx512_bf16\tamx_tile', BFLOAT16, (avx512_bf16)",
        "Linux, 'Features : fp asimd bf16', BFLOAT16, (bf16)",
        "Linux, 'flags : amx_bf16 avx512_bf16', BFLOAT16, (amx_bf16)",
        "Linux, 'flags : fpu avx2 avx512_bf16x', FLOAT32, no fast bfloat16 products",
        "Linux, '', FLOAT32, no fast bfloat16 products",
        "Mac OS X, 'flags : bf16', FLOAT32, whether Mac OS X on arm",
    })
    void bfloat16IsChosenWhereTheCpuMultipliesItFast(String os, String cpuInfo, Dtype dtype, String reason) {
        ComputeDtype chosen = ComputeDtype.auto(os, "arm", cpuInfo);
        assertThat(chosen.dtype()).isEqualTo(dtype);
        assertThat(chosen.reason()).startsWith("auto: ").contains(reason);
    }

    @Test
    void aDtypeOfTheConfigurationIsTaken() {
        for (Precision wanted : Precision.values()) {
            if (wanted != Precision.AUTO) {
                assertThat(ComputeDtype.of(wanted))
                        .isEqualTo(new ComputeDtype(Dtype.valueOf(wanted.name()), "as configured"));
            }
        }
        assertThat(ComputeDtype.of(Precision.AUTO).reason()).startsWith("auto: ");
    }
}
