package io.github.qlora4j.trainer.config;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/** The adapter; names as in peft's LoraConfig. {@code adapter} and {@code targetModules} aside, nothing is null. */
public record LoraSection(
        @Key(value = "Rank of the update.", orElse = "8") @Range(min = 1, max = 65536)
        int r,

        @Key(value = "Scale of the update: lora_alpha / r (with use_rslora, lora_alpha / sqrt(r)).", orElse = "16")
        @Range(min = 1)
        int loraAlpha,

        @Key(value = "Share of a layer's input dropped before the adapter, in training.", orElse = "0.0")
        @Range(min = 0, max = 1, belowMax = true)
        double loraDropout,

        @Key(
                value = "Layers that get an adapter: a list of names, a regular expression matched against the whole"
                        + " module name, all-linear, or null for peft's default of the model type.",
                orElse = "[q_proj, v_proj]")
        TargetModules targetModules,

        @Key(
                value =
                        "How A starts (B starts at zero): true is Kaiming-uniform, gaussian is normal with deviation 1/r.",
                orElse = "true")
        InitLoraWeights initLoraWeights,

        @Key(value = "Scale by lora_alpha / sqrt(r) instead of lora_alpha / r.", orElse = "false")
        boolean useRslora,

        @Key(value = "Rank of single layers: module name or regular expression to r.", orElse = "{}")
        @Range(min = 1, max = 65536)
        Map<String, Integer> rankPattern,

        @Key(value = "lora_alpha of single layers: module name or regular expression to lora_alpha.", orElse = "{}")
        @Range(min = 1)
        Map<String, Integer> alphaPattern,

        @Key(value = "Only these decoder layers get an adapter: an index or a list; empty is all.", orElse = "[]")
        @Range(min = 0)
        List<Integer> layersToTransform,

        @Key(
                value =
                        "Name of the list of layers that layers_to_transform counts in, such as layers or h; a name or a list.",
                orElse = "[]")
        List<String> layersPattern,

        @Key(value = "Biases trained along.", orElse = "none")
        LoraBias bias,

        @Key(
                value = "Modules trained whole and saved with the adapter, such as lm_head and embed_tokens.",
                orElse = "[]")
        List<String> modulesToSave,

        @Key(
                value = "Dtype of the adapter in training and on disk; bfloat16 keeps a float32 master copy.",
                orElse = "bfloat16")
        AdapterDtype dtype,

        @Key("Directory of an adapter to start from; its own r, lora_alpha and target_modules hold.")
        Path adapter) {

    /** Copies the collections, keeping their order. */
    public LoraSection {
        rankPattern = Ordered.copy(rankPattern);
        alphaPattern = Ordered.copy(alphaPattern);
        layersToTransform = List.copyOf(layersToTransform);
        layersPattern = List.copyOf(layersPattern);
        modulesToSave = List.copyOf(modulesToSave);
    }
}
