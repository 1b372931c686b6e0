package io.github.qlora4j.quant;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** A {@code quantization_config}, each value checked as it is read. */
record StoredSettings(JsonObject json, String where) {

    private static final List<String> KERNEL_KEYS =
            List.of("use_exllama", "disable_exllama", "exllama_config", "use_cuda_fp16", "backend", "max_input_length");

    private static final List<String> FUSED_KEYS = List.of("do_fuse", "fuse_max_seq_len");

    /** Whether a key chooses how products are made, not what they are. */
    static boolean choosesKernel(String key) {
        return KERNEL_KEYS.contains(key) || FUSED_KEYS.contains(key);
    }

    QloraException wrong(String key, String expected) {
        return new QloraException(where + ": " + key + ": " + expected + " is expected, found " + json.get(key));
    }

    boolean has(String key) {
        return json.has(key) && !json.get(key).isJsonNull();
    }

    void require(String key) {
        if (!has(key)) {
            throw new QloraException(where + ": " + key + " is missing");
        }
    }

    int integer(String key, int orElse) {
        if (!has(key)) {
            return orElse;
        }
        try {
            return Integer.parseInt(json.get(key).toString());
        } catch (NumberFormatException e) {
            throw wrong(key, "a whole number");
        }
    }

    boolean flag(String key, boolean orElse) {
        if (!has(key)) {
            return orElse;
        }
        JsonElement value = json.get(key);
        if (!(value instanceof JsonPrimitive primitive) || !primitive.isBoolean()) {
            throw wrong(key, "true or false");
        }
        return value.getAsBoolean();
    }

    double number(String key, double orElse) {
        if (!has(key)) {
            return orElse;
        }
        try {
            return Double.parseDouble(json.get(key).toString());
        } catch (NumberFormatException e) {
            throw wrong(key, "a number");
        }
    }

    /**
     * What is used in place of the kernels and the fused modules that are asked for, a sentence each.
     *
     * @throws QloraException if one of the keys has a value that it does not take
     */
    List<String> kernelRemarks() {
        List<String> remarks = new ArrayList<>();
        List<String> kernels = given(KERNEL_KEYS);
        if (!kernels.isEmpty()) {
            remarks.add(String.join(", ", kernels) + (kernels.size() == 1 ? " is" : " are") + " not used: "
                    + (kernels.size() == 1 ? "it chooses" : "they choose")
                    + " a kernel for NVIDIA GPUs; weights are dequantized here, or multiplied by the engine's 4-bit kernel"
                    + " when decoding");
        }
        List<String> fused = given(FUSED_KEYS);
        if (!fused.isEmpty()) {
            remarks.add(String.join(", ", fused) + (fused.size() == 1 ? " changes" : " change")
                    + " nothing: generation always makes one product for q, k and v and one for gate and up, and a cache"
                    + " as long as the row may become");
        }
        return remarks;
    }

    private List<String> given(List<String> keys) {
        List<String> given = keys.stream().filter(this::has).toList();
        given.forEach(this::checkKernelKey);
        return given;
    }

    private void checkKernelKey(String key) {
        switch (key) {
            case "exllama_config" -> {
                JsonElement value = json.get(key);
                boolean known = value instanceof JsonObject config
                        && (!config.has("version")
                                || List.of("1", "2")
                                        .contains(config.get("version").toString()));
                if (!known) {
                    throw wrong(key, "an object whose version is 1 or 2");
                }
            }
            case "backend" -> {
                if (text(key).isEmpty()) {
                    throw wrong(key, "a name");
                }
            }
            case "max_input_length", "fuse_max_seq_len" -> {
                if (integer(key, 1) < 1) {
                    throw wrong(key, "a whole number of at least 1");
                }
            }
            default -> flag(key, false);
        }
    }

    /** A word in lower case; empty where the value is no word. */
    String text(String key) {
        JsonElement value = json.get(key);
        return value.isJsonPrimitive() ? value.getAsString().toLowerCase(Locale.ROOT) : "";
    }
}
