package io.github.qlora4j.trainer.config;

import io.github.qlora4j.quant.KernelChoice;
import io.github.qlora4j.quant.QuantType;

/** How the frozen base is quantized; names as in BitsAndBytesConfig. A run without it keeps the base as it is. */
public record QuantizationSection(
        @Key(
                value = "Quantize the linear layers of the base to 4 bits; left out, it is true unless load_in_8bit is."
                        + " With both false the base is not quantized.",
                name = "load_in_4bit")
        Boolean loadIn4bit,

        @Key(
                value = "Quantize the linear layers of the base to 8 bits (LLM.int8()); excludes load_in_4bit.",
                orElse = "false",
                name = "load_in_8bit")
        boolean loadIn8bit,

        @Key(value = "The 4-bit code.", orElse = "nf4", name = "bnb_4bit_quant_type")
        QuantType bnb4bitQuantType,

        @Key(
                value = "Quantize the blocks' scales too, to 8 bits: 0.37 bits a weight less.",
                orElse = "true",
                name = "bnb_4bit_use_double_quant")
        boolean bnb4bitUseDoubleQuant,

        @Key(
                value = "Dtype of the matrix products; auto is bfloat16 where the machine multiplies it fast,"
                        + " else float32.",
                orElse = "auto",
                name = "bnb_4bit_compute_dtype")
        Precision bnb4bitComputeDtype,

        @Key(value = "Weights that share one scale.", orElse = "64")
        @Range(oneOf = {32, 64, 128, 256, 512, 1024, 2048, 4096})
        int blocksize,

        @Key(
                value = "auto takes bitsandbytes' native library where it is found, else the built-in kernel;"
                        + " bitsandbytes makes its absence an error; builtin never looks for it.",
                orElse = "auto")
        KernelChoice kernel,

        @Key(
                value = "With load_in_8bit: columns of a layer's input that hold a value of at least this much are"
                        + " multiplied in the model's dtype when evaluating and generating; 0 is none. Training on a CPU"
                        + " multiplies by the dequantized weight throughout, as bitsandbytes does.",
                orElse = "6.0",
                name = "llm_int8_threshold")
        @Range(min = 0)
        double llmInt8Threshold,

        @Key(
                value =
                        "Linear layers that stay unquantized, by the end of their name, or by its beginning as a regular"
                                + " expression up to a dot. null keeps the head; a list takes the place of that, as in"
                                + " transformers: name lm_head too, or it is quantized.",
                name = "llm_int8_skip_modules")
        ModuleNames llmInt8SkipModules,

        @Key(
                value =
                        "Modules that model.device_map puts on the disk stay unquantized, in float32; it must be a map.",
                orElse = "false",
                name = "llm_int8_enable_fp32_cpu_offload")
        boolean llmInt8EnableFp32CpuOffload,

        @Flattened StoredKeys stored) {

    /** 4 bits are meant where nothing is said, unless the keys are those of a base that is stored quantized. */
    public QuantizationSection {
        loadIn4bit = loadIn4bit == null ? !loadIn8bit && !stored.given() : loadIn4bit;
    }
}
