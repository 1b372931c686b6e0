package io.github.qlora4j.peft;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import io.github.qlora4j.quant.QloraException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.BiFunction;
import java.util.function.Consumer;

/** Turns the JSON of an {@code adapter_config.json} into a configuration, naming file and key where it cannot. */
final class AdapterConfigReader {

    private final Path file;
    private final JsonObject json;
    private final Set<String> used = new HashSet<>();

    AdapterConfigReader(Path file, JsonObject json) {
        this.file = file;
        this.json = json;
    }

    /**
     * Reads it.
     *
     * @param unknown takes the keys that are passed over
     */
    AdapterConfigFile read(Consumer<String> unknown) {
        String peftType = text("peft_type");
        if (!"LORA".equals(peftType)) {
            throw new QloraException(file + ": peft_type is " + peftType + ". Only LORA adapters are supported.");
        }
        LoraConfig.Builder builder = LoraConfig.builder();
        integer("r", builder::optR);
        number("lora_alpha", builder::optLoraAlpha);
        number("lora_dropout", builder::optLoraDropout);
        flag("use_rslora", builder::optUseRslora);
        flag("fan_in_fan_out", builder::optFanInFanOut);
        TargetModules targets = targets("target_modules");
        if (targets != null) {
            builder.optTargetModules(targets);
        }
        TargetModules excluded = targets("exclude_modules");
        if (excluded != null) {
            builder.optExcludeModules(excluded);
        }
        builder.optInitLoraWeights(init());
        builder.optRankPattern(pattern("rank_pattern", this::integerOf));
        builder.optAlphaPattern(pattern("alpha_pattern", this::numberOf));
        builder.optLayersToTransform(listOrOne("layers_to_transform", this::integerOf));
        builder.optLayersPattern(listOrOne("layers_pattern", this::textOf));
        builder.optModulesToSave(listOrOne("modules_to_save", this::textOf));
        String bias = text("bias");
        String base = text("base_model_name_or_path");
        String revision = text("revision");
        String taskType = text("task_type");
        String version = text("peft_version");
        boolean[] inference = {false};
        flag("inference_mode", value -> inference[0] = value);
        for (String key : json.keySet()) {
            if (!used.contains(key) && UnsupportedKeys.isUnknown(file, key, json.get(key))) {
                unknown.accept(key);
            }
        }
        try {
            if (bias != null) {
                builder.optBias(Bias.ofPeftName(bias));
            }
            return new AdapterConfigFile(builder.build(), base, revision, taskType, inference[0], version);
        } catch (QloraException e) {
            throw new QloraException(file + ": " + e.getMessage(), e);
        }
    }

    private InitLoraWeights init() {
        JsonElement value = value("init_lora_weights");
        if (value == null) {
            return InitLoraWeights.DEFAULT;
        }
        if (value instanceof JsonPrimitive p && p.isBoolean()) {
            return p.getAsBoolean() ? InitLoraWeights.DEFAULT : InitLoraWeights.RANDOM;
        }
        String name = textOf("init_lora_weights", value);
        if (name.equalsIgnoreCase("gaussian")) {
            return InitLoraWeights.GAUSSIAN;
        }
        throw new QloraException(file + ": init_lora_weights is '" + name + "', which is not supported: "
                + "it may change the base's weights. Supported are true, false and gaussian. "
                + "Let peft save the adapter with path_initial_model_for_weight_conversion, or merge it with peft.");
    }

    private TargetModules targets(String key) {
        JsonElement value = value(key);
        try {
            if (value == null) {
                return null;
            }
            if (value.isJsonArray()) {
                return new TargetModules.Names(list(key, value.getAsJsonArray(), this::textOf));
            }
            return TargetModules.ofString(textOf(key, value));
        } catch (QloraException e) {
            throw e.getMessage().startsWith(file.toString()) ? e : new QloraException(file + ": " + e.getMessage(), e);
        }
    }

    /** Returns a key's value, or null where it is missing or null, and notes that it was looked at. */
    private JsonElement value(String key) {
        used.add(key);
        JsonElement value = json.get(key);
        return value == null || value.isJsonNull() ? null : value;
    }

    private String text(String key) {
        JsonElement value = value(key);
        return value == null ? null : textOf(key, value);
    }

    private void integer(String key, java.util.function.IntConsumer target) {
        JsonElement value = value(key);
        if (value != null) {
            target.accept(integerOf(key, value));
        }
    }

    private void number(String key, java.util.function.DoubleConsumer target) {
        JsonElement value = value(key);
        if (value != null) {
            target.accept(numberOf(key, value));
        }
    }

    private void flag(String key, java.util.function.Consumer<Boolean> target) {
        JsonElement value = value(key);
        if (value == null) {
            return;
        }
        if (!(value instanceof JsonPrimitive p) || !p.isBoolean()) {
            throw wrongType(key, value, "true or false");
        }
        target.accept(value.getAsBoolean());
    }

    private <V> Map<String, V> pattern(String key, BiFunction<String, JsonElement, V> read) {
        JsonElement value = value(key);
        Map<String, V> pattern = new LinkedHashMap<>();
        if (value != null) {
            if (!value.isJsonObject()) {
                throw wrongType(key, value, "an object");
            }
            value.getAsJsonObject()
                    .entrySet()
                    .forEach(e -> pattern.put(e.getKey(), read.apply(key + "." + e.getKey(), e.getValue())));
        }
        return pattern;
    }

    private <V> List<V> listOrOne(String key, BiFunction<String, JsonElement, V> read) {
        JsonElement value = value(key);
        if (value == null) {
            return List.of();
        }
        return value.isJsonArray() ? list(key, value.getAsJsonArray(), read) : List.of(read.apply(key, value));
    }

    private static <V> List<V> list(String key, JsonArray array, BiFunction<String, JsonElement, V> read) {
        List<V> list = new ArrayList<>(array.size());
        for (JsonElement element : array) {
            list.add(read.apply(key, element));
        }
        return list;
    }

    private String textOf(String key, JsonElement value) {
        if (!(value instanceof JsonPrimitive p) || !p.isString()) {
            throw wrongType(key, value, "a string");
        }
        return value.getAsString();
    }

    private int integerOf(String key, JsonElement value) {
        double number = numberOf(key, value);
        if (number != Math.rint(number) || Math.abs(number) > Integer.MAX_VALUE) {
            throw wrongType(key, value, "a whole number");
        }
        return (int) number;
    }

    private double numberOf(String key, JsonElement value) {
        if (!(value instanceof JsonPrimitive p) || !p.isNumber()) {
            throw wrongType(key, value, "a number");
        }
        return value.getAsDouble();
    }

    private QloraException wrongType(String key, JsonElement value, String expected) {
        return new QloraException(
                file + ": " + key + " is " + UnsupportedKeys.shortened(value) + ". Expected " + expected + ".");
    }
}
