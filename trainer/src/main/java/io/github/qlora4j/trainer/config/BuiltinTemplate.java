package io.github.qlora4j.trainer.config;

/** The templates that come with the program. */
public enum BuiltinTemplate {
    /** {@code Human: … Assistant: …}. */
    HUMAN_ASSISTANT,
    /** Stanford Alpaca's wording, with and without input. */
    ALPACA
}
