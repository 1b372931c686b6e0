package io.github.qlora4j.quant;

import com.google.gson.JsonObject;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.function.BiFunction;

/** The schemes of quantized directories, by the {@code quant_method} of their {@code quantization_config}. */
public final class StoredSchemes {

    private static final Map<String, BiFunction<JsonObject, String, StoredScheme>> BY_METHOD =
            new TreeMap<>(Map.of("gptq", GptqCheckpoint::of, "awq", AwqCheckpoint::of));

    private StoredSchemes() {}

    /**
     * The scheme of a method, empty where it is none of these.
     *
     * @param quantizationConfig the object of that name in {@code config.json}
     * @param where begins every error, {@code models/llama/config.json: quantization_config} for instance
     * @throws QloraException if the object is damaged or asks for what is not supported
     */
    public static Optional<StoredScheme> of(String method, JsonObject quantizationConfig, String where) {
        return Optional.ofNullable(BY_METHOD.get(method)).map(reader -> reader.apply(quantizationConfig, where));
    }

    /** Whether a key of a {@code quantization_config} chooses how products are made, not what they are. */
    public static boolean choosesKernel(String key) {
        return StoredSettings.choosesKernel(key);
    }
}
