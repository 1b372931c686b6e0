package io.github.qlora4j.quant;

import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/** How the files of a GPTQ checkpoint keep zero points: {@code checkpoint_format}. */
public enum GptqFormat {
    /** One less than they are: what auto-gptq writes, and what most checkpoints have. */
    GPTQ("gptq"),
    /** As they are. */
    GPTQ_V2("gptq_v2");

    private final String key;

    GptqFormat(String key) {
        this.key = key;
    }

    /** The name in {@code config.json}. */
    public String key() {
        return key;
    }

    static List<String> keys() {
        return Arrays.stream(values()).map(GptqFormat::key).toList();
    }

    static Optional<GptqFormat> ofKey(String key) {
        return Arrays.stream(values()).filter(f -> f.key.equals(key)).findFirst();
    }
}
