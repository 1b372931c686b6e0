package io.github.qlora4j.trainer.config;

import com.google.gson.JsonObject;
import java.util.Locale;

/**
 * Keys of GPTQConfig and AwqConfig, which are about a base that is stored by GPTQ or AWQ.
 *
 * <p>Those that say how it was quantized must be as the directory says; those that choose a kernel are not used, and the
 * run says what is used instead. All of them may be null.
 */
public record StoredKeys(
        @Key("gptq or awq, as in the base's own quantization_config: with GPTQ and AWQ this section only repeats it.")
        StoredMethod quantMethod,

        @Key("Bits of a code, as the base says.") @Range(oneOf = {2, 3, 4, 8})
        Integer bits,

        @Key("Inputs that share a scale, as the base says; -1 is all.") @Range(min = -1)
        Integer groupSize,

        @Key("Whether zero lies in the middle of the codes, as the base says.")
        Boolean sym,

        @Key("Act-order, as the base says.") Boolean descAct,

        @Key("Static groups, as the base says.") Boolean staticGroups,

        @Key("Damping of GPTQ, as the base says.") @Range(min = 0, aboveMin = true, max = 1, belowMax = true)
        Double dampPercent,

        @Key("Whether the layers of a block were quantized one after the other, as the base says.")
        Boolean trueSequential,

        @Key("Whether AWQ used zero points, as the base says.")
        Boolean zeroPoint,

        @Key("gptq or gptq_v2, as the base says.") StoredFormat checkpointFormat,

        @Key("Layout of AWQ, as the base says.") StoredVersion version,

        @Key("A kernel of transformers; not used: weights are dequantized before each product.")
        Boolean useExllama,

        @Key("The older opposite of use_exllama; not used either.")
        Boolean disableExllama,

        @Key("Settings of that kernel; not used.") ExllamaConfig exllamaConfig,

        @Key("A kernel of auto-gptq; not used.") Boolean useCudaFp16,

        @Key("Which kernel GPTQModel takes; not used.") StoredBackend backend,

        @Key("Tokens of the kernel's buffer; not used.") @Range(min = 1)
        Integer maxInputLength,

        @Key("Fused modules of autoawq; generation here always fuses.")
        Boolean doFuse,

        @Key("Tokens that fused modules have room for; a cache here is as long as the row may become.") @Range(min = 1)
        Integer fuseMaxSeqLen) {

    /** None of them. */
    public static final StoredKeys NONE = new StoredKeys(
            null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null,
            null);

    /** Methods of quantized directories. */
    public enum StoredMethod {
        /** GPTQ. */
        GPTQ,
        /** AWQ. */
        AWQ
    }

    /** Formats of GPTQ. */
    public enum StoredFormat {
        /** Zero points less one. */
        GPTQ,
        /** Zero points as they are. */
        GPTQ_V2
    }

    /** Layouts of AWQ that are read. */
    public enum StoredVersion {
        /** The one of autoawq's GEMM. */
        GEMM
    }

    /** Kernels that transformers and GPTQModel know by these names. */
    public enum StoredBackend {
        /** GPTQModel's choice. */
        AUTO,
        /** The same among those that train. */
        AUTO_TRAINABLE,
        /** Plain torch. */
        TORCH,
        /** Torch, its operators fused. */
        TORCH_FUSED,
        /** AWQ in plain torch. */
        TORCH_AWQ,
        /** Triton. */
        TRITON,
        /** ExLlama. */
        EXLLAMA,
        /** ExLlama of AWQ. */
        EXLLAMA_V1,
        /** The second ExLlama. */
        EXLLAMA_V2,
        /** Marlin. */
        MARLIN,
        /** Machete. */
        MACHETE,
        /** BitBLAS. */
        BITBLAS,
        /** AWQ's matrix product. */
        GEMM,
        /** AutoAWQ, as older configurations say. */
        AUTOAWQ,
        /** Intel's. */
        IPEX
    }

    /** Whether any of them was given. */
    public boolean given() {
        return !equals(NONE);
    }

    /** Those that were given, in the spelling of {@code quantization_config}. */
    public JsonObject json() {
        JsonObject json = new JsonObject();
        for (Keys.Entry entry : Keys.of(StoredKeys.class).entries()) {
            Object value = entry.value(this);
            if (value instanceof ExllamaConfig exllama) {
                JsonObject inner = new JsonObject();
                inner.addProperty("version", exllama.version());
                json.add(entry.name(), inner);
            } else if (value instanceof Boolean flag) {
                json.addProperty(entry.name(), flag);
            } else if (value instanceof Number number) {
                json.addProperty(entry.name(), number);
            } else if (value != null) {
                json.addProperty(entry.name(), value.toString().toLowerCase(Locale.ROOT));
            }
        }
        return json;
    }
}
