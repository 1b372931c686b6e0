package io.github.qlora4j.trainer.config;

import io.github.qlora4j.quant.KernelChoice;
import io.github.qlora4j.quant.QuantType;
import java.util.List;

/** How the frozen base is quantized; names as in BitsAndBytesConfig. A run without it keeps the base as it is. */
public record QuantizationSection(
        @Key(
                value = "Quantize the linear layers of the base to 4 bits; false is as if the section were left out.",
                orElse = "true",
                name = "load_in_4bit")
        boolean loadIn4bit,

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
                value = "Modules that stay unquantized, by full name or last part. The head always does.",
                orElse = "[]",
                name = "llm_int8_skip_modules")
        List<String> llmInt8SkipModules) {

    /** Copies the list. */
    public QuantizationSection {
        llmInt8SkipModules = List.copyOf(llmInt8SkipModules);
    }
}
