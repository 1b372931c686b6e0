package io.github.qlora4j.trainer.config;

import java.nio.file.Path;

/** The base model: where it lies and in which dtype it is taken. */
public record ModelSection(
        @Key(
                value = "Directory of the base model as Hugging Face lays it out: config.json, tokenizer.json,"
                        + " *.safetensors.",
                required = true)
        Path path,

        @Key(
                value = "Dtype the base is cast to before it is quantized; auto is the one config.json names.",
                orElse = "auto")
        Precision dtype,

        @Key(
                value = "Keep what is not quantized (norms, embeddings, head) in float32, as"
                        + " prepare_model_for_kbit_training does.",
                orElse = "false")
        boolean upcast) {}
