package io.github.qlora4j.trainer.config;

import java.nio.file.Path;
import java.util.Map;

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
        boolean upcast,

        @Key("Where the modules of the base lie: auto is worked out as accelerate does, cpu is memory, disk is read for"
                + " each use; left out, all is in memory. No GPU is supported yet.")
        DeviceMap deviceMap,

        @Key(
                value = "With device_map auto: bytes of the base that a device may hold; left out, what is free.",
                orElse = "{}")
        Map<Device, MemorySize> maxMemory,

        @Key("Where blocks that are quantized while loading, and lie on the disk, are written; needed only for them.")
        Path offloadFolder) {

    /** Copies the map, keeping its order. */
    public ModelSection {
        maxMemory = Ordered.copy(maxMemory);
    }

    /** A base that is kept in memory. */
    public ModelSection(Path path, Precision dtype, boolean upcast) {
        this(path, dtype, upcast, null, Map.of(), null);
    }
}
