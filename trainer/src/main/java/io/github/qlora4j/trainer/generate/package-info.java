/**
 * Text from a decoder: a token at a time, with a cache of keys and values.
 *
 * <p>{@link io.github.qlora4j.trainer.generate.Generator} continues token ids; {@link
 * io.github.qlora4j.trainer.generate.Sampling} says how the next one is chosen. {@link
 * io.github.qlora4j.trainer.generate.LanguageModel} is the whole for users: base, adapter and tokenizer opened together,
 * from a model directory or from a finished run alone; with it
 * come {@link io.github.qlora4j.trainer.generate.Conversation} and a DJL {@code Predictor}.
 */
package io.github.qlora4j.trainer.generate;
