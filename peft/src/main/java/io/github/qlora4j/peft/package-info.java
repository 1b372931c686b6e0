/**
 * LoRA adapters on any linear weight chosen by name, in the files of Python's peft.
 *
 * <p>A linear module computes x·Wᵀ with a frozen W {@code [out, in]}. LoRA adds two thin matrices that are trained, A
 * {@code [r, in]} and B {@code [out, r]}:
 *
 * <pre>{@code y = x·Wᵀ + scaling · (x·Aᵀ)·Bᵀ}</pre>
 *
 * <p>{@link io.github.qlora4j.peft.LoraConfig} says what an adapter is, {@link
 * io.github.qlora4j.peft.TargetModules#resolve} which modules get one, {@link io.github.qlora4j.peft.Adapter} holds the
 * matrices and reads and writes {@code adapter_config.json} and {@code adapter_model.safetensors}, {@link
 * io.github.qlora4j.peft.LoraLinear} computes with them forwards and backwards, and {@link
 * io.github.qlora4j.peft.Merge} adds them to W for good.
 *
 * <p>Source: Hu et al., LoRA: Low-Rank Adaptation of Large Language Models (2021); peft 0.21.2, {@code tuners/lora}.
 */
package io.github.qlora4j.peft;
