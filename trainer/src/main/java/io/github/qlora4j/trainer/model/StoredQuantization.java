package io.github.qlora4j.trainer.model;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.QuantType;
import io.github.qlora4j.quant.torch.Dtype;
import java.nio.file.Path;
import java.util.Optional;
import java.util.function.Supplier;

/** The scheme of a directory that is quantized already: it is read from {@code quantization_config} and holds. */
final class StoredQuantization {

    private StoredQuantization() {}

    static BaseOptions apply(Path directory, ModelConfig config, BaseOptions options) {
        if (config.quantization().isEmpty()) {
            return options;
        }
        JsonObject stored = config.quantization().get();
        String method = text(stored, "quant_method", "bitsandbytes");
        if (!method.equals("bitsandbytes") || !flag(stored, "load_in_4bit")) {
            throw new QloraException(directory.resolve("config.json") + ": quantization_config: a base quantized by "
                    + method + (flag(stored, "load_in_8bit") ? " to 8 bits" : "")
                    + " is not supported; expected bitsandbytes with load_in_4bit");
        }
        FourBitConfig fourBit = new FourBitConfig(
                named(
                        directory,
                        "bnb_4bit_quant_type",
                        () -> QuantType.ofKey(text(stored, "bnb_4bit_quant_type", "fp4"))),
                options.fourBit().map(FourBitConfig::blocksize).orElse(64),
                flag(stored, "bnb_4bit_use_double_quant"));
        Dtype compute = options.fourBit().isPresent()
                ? options.compute()
                : named(directory, "bnb_4bit_compute_dtype", () -> compute(stored));
        return new BaseOptions(
                options.dtype(),
                Optional.of(fourBit),
                compute,
                options.upcast(),
                options.skipModules(),
                options.kernel());
    }

    private static <T> T named(Path directory, String key, Supplier<T> value) {
        try {
            return value.get();
        } catch (QloraException e) {
            throw new QloraException(
                    directory.resolve("config.json") + ": quantization_config." + key + ": " + e.getMessage(), e);
        }
    }

    private static Dtype compute(JsonObject stored) {
        Dtype dtype = Dtype.ofTorchName(text(stored, "bnb_4bit_compute_dtype", "float32"));
        if (!dtype.isFloating() || dtype == Dtype.FLOAT64) {
            throw new QloraException("expected float32, float16 or bfloat16, got " + dtype.torchName());
        }
        return dtype;
    }

    private static String text(JsonObject object, String key, String orElse) {
        JsonElement value = object.get(key);
        return value != null && value.isJsonPrimitive() ? value.getAsString() : orElse;
    }

    private static boolean flag(JsonObject object, String key) {
        JsonElement value = object.get(key);
        return value != null
                && value.isJsonPrimitive()
                && value.getAsJsonPrimitive().isBoolean()
                && value.getAsBoolean();
    }
}
