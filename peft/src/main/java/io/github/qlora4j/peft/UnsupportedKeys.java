package io.github.qlora4j.peft;

import com.google.gson.JsonElement;
import io.github.qlora4j.quant.QloraException;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;

/** The keys of peft's LoraConfig that change the computation in ways this library does not follow. */
final class UnsupportedKeys {

    private static final Logger LOG = LogManager.getLogger(UnsupportedKeys.class);

    static final List<String> WRITTEN_AS_NULL = List.of(
            "alora_invocation_tokens",
            "arrow_config",
            "corda_config",
            "eva_config",
            "kasa_config",
            "layer_replication",
            "lora_ga_config",
            "megatron_config",
            "monteclora_config",
            "target_parameters",
            "trainable_token_indices",
            "use_bdlora",
            "velora_config");

    static final List<String> WRITTEN_AS_FALSE = List.of("ensure_weight_tying", "lora_bias", "use_dora", "use_qalora");

    /** Keys that do not change what an adapter computes. */
    private static final Set<String> HARMLESS =
            Set.of("auto_mapping", "megatron_core", "qalora_group_size", "runtime_config", "peft_type");

    private UnsupportedKeys() {}

    /** Refuses a key of peft that is set and not supported; says whether it is one that nobody here knows. */
    static boolean isUnknown(Path file, String key, JsonElement value) {
        if (HARMLESS.contains(key) || isUnset(value)) {
            LOG.debug("{}: {} is not used", file, key);
            return false;
        }
        if (WRITTEN_AS_NULL.contains(key) || WRITTEN_AS_FALSE.contains(key) || key.equals("loftq_config")) {
            throw new QloraException(file + ": " + key + " is " + shortened(value)
                    + ", which is not supported: it changes what the adapter computes."
                    + " Only plain LoRA is; merge this adapter with peft, or train one without " + key + ".");
        }
        return true;
    }

    /** Tells that a key is passed over. */
    static void warn(Path file, String key) {
        LOG.warn(
                "{}: the key {} is not known and is passed over; peft {} does the same",
                file,
                key,
                AdapterConfigFile.PEFT_VERSION);
    }

    private static boolean isUnset(JsonElement value) {
        return value.isJsonNull()
                || value.isJsonObject() && value.getAsJsonObject().isEmpty()
                || value.isJsonArray() && value.getAsJsonArray().isEmpty()
                || value.isJsonPrimitive() && value.getAsJsonPrimitive().isBoolean() && !value.getAsBoolean();
    }

    static String shortened(JsonElement value) {
        String text = value.toString();
        return text.length() <= 80 ? text : text.substring(0, 77) + "…";
    }
}
