package io.github.qlora4j.trainer.model;

import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.trainer.config.Precision;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Locale;
import java.util.Set;

/**
 * The dtype in which 4-bit layers are multiplied, and why.
 *
 * @param dtype float32, bfloat16 or float16
 * @param reason a phrase for the user
 */
public record ComputeDtype(Dtype dtype, String reason) {

    private static final Path CPU_INFO = Path.of("/proc/cpuinfo");

    /** Resolves {@code bnb_4bit_compute_dtype} on this machine. */
    public static ComputeDtype of(Precision wanted) {
        return switch (wanted) {
            case FLOAT32 -> new ComputeDtype(Dtype.FLOAT32, "as configured");
            case BFLOAT16 -> new ComputeDtype(Dtype.BFLOAT16, "as configured");
            case FLOAT16 -> new ComputeDtype(Dtype.FLOAT16, "as configured");
            case AUTO -> auto(System.getProperty("os.name", ""), System.getProperty("os.arch", ""), cpuInfo());
        };
    }

    /** float32 unless the CPU is known to multiply bfloat16 fast. */
    static ComputeDtype auto(String os, String arch, String cpuInfo) {
        if (!os.toLowerCase(Locale.ROOT).contains("linux")) {
            return new ComputeDtype(
                    Dtype.FLOAT32,
                    "auto: whether " + os + " on " + arch + " multiplies bfloat16 fast is not known here");
        }
        Set<String> features = new HashSet<>(Arrays.asList(cpuInfo.split("\\s+")));
        for (String feature : new String[] {"amx_bf16", "avx512_bf16", "bf16"}) {
            if (features.contains(feature)) {
                return new ComputeDtype(Dtype.BFLOAT16, "auto: this CPU has fast bfloat16 products (" + feature + ")");
            }
        }
        return new ComputeDtype(
                Dtype.FLOAT32, "auto: this CPU has no fast bfloat16 products (amx_bf16, avx512_bf16 or bf16)");
    }

    private static String cpuInfo() {
        try {
            return Files.readString(CPU_INFO, StandardCharsets.ISO_8859_1);
        } catch (IOException e) {
            return "";
        }
    }
}
