/**
 * Decoders read from a Hugging Face directory, frozen, with an adapter on top.
 *
 * <p>{@code config.json} becomes a {@link io.github.qlora4j.trainer.model.ModelConfig}; a {@link
 * io.github.qlora4j.trainer.model.Family} says what the layers of a {@code model_type} are made of. {@link
 * io.github.qlora4j.trainer.model.BaseModel} holds the frozen weights, and {@link
 * io.github.qlora4j.trainer.model.Decoder} runs them forward and backward, {@link
 * io.github.qlora4j.trainer.model.CachedDecoder} a token at a time with a cache.
 *
 * <p>The arithmetic is TorchScript text beside these classes. {@code block.py} is the block of every family: a residual
 * around attention and one around the MLP. {@code llama.py} is what is particular to Llama, Mistral and Qwen2. {@code
 * linear.py}, {@code attention.py} and {@code head.py} are what they share.
 */
package io.github.qlora4j.trainer.model;
