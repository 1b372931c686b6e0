package io.github.qlora4j.trainer.config;

/** What {@code exllama_config} of GPTQ and AWQ takes; nothing of it is used. */
public record ExllamaConfig(
        @Key(value = "1 or 2.", orElse = "2") @Range(oneOf = {1, 2})
        int version,

        @Key("Tokens of the kernel's buffer.") @Range(min = 1)
        Integer maxInputLen,

        @Key("Rows of the kernel's buffer.") @Range(min = 1) Integer maxBatchSize) {}
