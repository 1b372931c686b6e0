package io.github.qlora4j.peft;

import com.google.gson.JsonObject;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.AtomicFile;
import io.github.qlora4j.quant.internal.StrictJson;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.function.Supplier;

/**
 * An {@code adapter_config.json}: a {@link LoraConfig} and what peft keeps beside it.
 *
 * <p>Files of older peft versions (15 or 20 keys) are read; the file written has the 41 keys of peft 0.21.2 in its order.
 *
 * @param lora the configuration
 * @param baseModelNameOrPath the base model, or null
 * @param revision the base model's version on a hub, or null
 * @param taskType such as {@code CAUSAL_LM}, or null
 * @param inferenceMode true in saved files
 * @param peftVersion the peft version that the file follows, or null in older files
 */
public record AdapterConfigFile(
        LoraConfig lora,
        String baseModelNameOrPath,
        String revision,
        String taskType,
        boolean inferenceMode,
        String peftVersion) {

    /** The file's name. */
    public static final String NAME = "adapter_config.json";

    /** The version of peft whose file format is written. */
    public static final String PEFT_VERSION = "0.21.2";

    /** The file for a causal language model as peft saves it. */
    public static AdapterConfigFile of(LoraConfig lora, String baseModelNameOrPath) {
        return new AdapterConfigFile(lora, baseModelNameOrPath, null, "CAUSAL_LM", true, PEFT_VERSION);
    }

    /**
     * Reads the file of an adapter directory. Keys that nobody here knows are passed over, and told when the adapter is
     * loaded.
     *
     * @throws QloraException if it is missing or malformed, or a key asks for a computation that is not supported
     */
    public static AdapterConfigFile read(Path adapterDir) {
        return read(adapterDir, key -> {});
    }

    /** As {@link #read(Path)}, and tells of the keys that it passes over. */
    static AdapterConfigFile readToLoad(Path adapterDir) {
        return read(adapterDir, key -> UnsupportedKeys.warn(adapterDir.resolve(NAME), key));
    }

    private static AdapterConfigFile read(Path adapterDir, Consumer<String> unknown) {
        Path file = adapterDir.resolve(NAME);
        if (!Files.isRegularFile(file)) {
            throw new QloraException(adapterDir + " is not an adapter directory: it has no " + NAME + ".");
        }
        JsonObject json = StrictJson.readObject(file);
        return new AdapterConfigReader(file, json).read(unknown);
    }

    /** Puts the file's name before an error about what it asks for. */
    public static <T> T named(Path adapterDir, Supplier<T> use) {
        try {
            return use.get();
        } catch (QloraException e) {
            throw new QloraException(adapterDir.resolve(NAME) + ": " + e.getMessage(), e);
        }
    }

    /** Writes the file into an adapter directory, beside its place and then moved there. */
    public void write(Path adapterDir) {
        AtomicFile.writeText(adapterDir.resolve(NAME), toJson());
    }

    /** Returns the file's text as peft 0.21.2 writes it. */
    public String toJson() {
        Map<String, Object> keys = new TreeMap<>();
        for (String key : UnsupportedKeys.WRITTEN_AS_NULL) {
            keys.put(key, null);
        }
        for (String key : UnsupportedKeys.WRITTEN_AS_FALSE) {
            keys.put(key, false);
        }
        keys.put("loftq_config", Map.of());
        keys.put("megatron_core", "megatron.core");
        keys.put("qalora_group_size", 16);
        keys.put("auto_mapping", null);
        keys.put("base_model_name_or_path", baseModelNameOrPath);
        keys.put("revision", revision);
        keys.put("task_type", taskType);
        keys.put("inference_mode", inferenceMode);
        keys.put("peft_type", "LORA");
        keys.put("peft_version", peftVersion == null ? PEFT_VERSION : peftVersion);
        keys.put("r", lora.r());
        keys.put("lora_alpha", wholeOrFraction(lora.loraAlpha()));
        keys.put("lora_dropout", lora.loraDropout());
        keys.put("target_modules", targets(lora.targetModules()));
        keys.put("exclude_modules", targets(lora.excludeModules()));
        keys.put("init_lora_weights", init(lora.initLoraWeights()));
        keys.put("use_rslora", lora.useRslora());
        keys.put("rank_pattern", new TreeMap<>(lora.rankPattern()));
        keys.put("alpha_pattern", alphas());
        keys.put("layers_to_transform", nullIfEmpty(lora.layersToTransform()));
        keys.put("layers_pattern", nullIfEmpty(lora.layersPattern()));
        keys.put("bias", lora.bias().peftName());
        keys.put("modules_to_save", nullIfEmpty(lora.modulesToSave()));
        keys.put("fan_in_fan_out", lora.fanInFanOut());
        return PythonJson.write(keys);
    }

    private Map<String, Object> alphas() {
        Map<String, Object> alphas = new TreeMap<>();
        lora.alphaPattern().forEach((key, alpha) -> alphas.put(key, wholeOrFraction(alpha)));
        return alphas;
    }

    private static Object wholeOrFraction(double value) {
        boolean isWhole = value == Math.rint(value) && Math.abs(value) < 1L << 53;
        return isWhole ? (Object) (long) value : (Object) value;
    }

    private static List<?> nullIfEmpty(List<?> list) {
        return list.isEmpty() ? null : new ArrayList<>(list);
    }

    private static Object targets(TargetModules targets) {
        if (targets instanceof TargetModules.Names names) {
            return nullIfEmpty(names.names());
        } else if (targets instanceof TargetModules.Regex regex) {
            return regex.pattern();
        }
        return targets instanceof TargetModules.AllLinear ? "all-linear" : null;
    }

    private static Object init(InitLoraWeights init) {
        return switch (init) {
            case DEFAULT -> true;
            case RANDOM -> false;
            case GAUSSIAN -> "gaussian";
        };
    }
}
