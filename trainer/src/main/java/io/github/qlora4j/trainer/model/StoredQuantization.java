package io.github.qlora4j.trainer.model;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.Int8Scheme;
import io.github.qlora4j.quant.Int8Weight;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.QuantType;
import io.github.qlora4j.quant.torch.Dtype;
import java.nio.file.Path;
import java.util.Optional;

/** The scheme of a directory that is quantized already: it is read from {@code quantization_config} and holds. */
final class StoredQuantization {

    private StoredQuantization() {}

    static BaseOptions apply(Path directory, ModelConfig config, BaseOptions options) {
        if (config.quantization().isEmpty()) {
            return options;
        }
        JsonObject stored = config.quantization().get();
        String method = text(stored, "quant_method", "bitsandbytes");
        boolean four = flag(stored, "load_in_4bit");
        boolean eight = flag(stored, "load_in_8bit");
        if (!method.equals("bitsandbytes") || four == eight) {
            throw error(
                    directory,
                    "a base quantized by " + method
                            + " is not supported; expected bitsandbytes with load_in_4bit or load_in_8bit");
        }
        if (four ? options.eightBit().isPresent() : options.fourBit().isPresent()) {
            throw error(
                    directory,
                    "the base is stored in " + (four ? "4 bits" : "8 bits") + ", and load_in_" + (four ? "8" : "4")
                            + "bit asks for another; leave that out, or give the unquantized model");
        }
        return four ? fourBit(stored, options) : options.withEightBit(eightBit(directory, stored, options));
    }

    private static BaseOptions fourBit(JsonObject stored, BaseOptions options) {
        FourBitConfig fourBit = new FourBitConfig(
                QuantType.ofKey(text(stored, "bnb_4bit_quant_type", "fp4")),
                options.fourBit().map(FourBitConfig::blocksize).orElse(64),
                flag(stored, "bnb_4bit_use_double_quant"));
        Dtype compute = options.fourBit().isPresent()
                ? options.compute()
                : Dtype.ofTorchName(text(stored, "bnb_4bit_compute_dtype", "float32"));
        return new BaseOptions(
                options.dtype(),
                Optional.of(fourBit),
                Optional.empty(),
                compute,
                options.upcast(),
                options.skipModules(),
                options.kernel());
    }

    /** The stored threshold; another one is refused where it was asked for, which the default is not. */
    private static Int8Scheme eightBit(Path directory, JsonObject stored, BaseOptions options) {
        double threshold = threshold(directory, stored.get("llm_int8_threshold"));
        double asked = options.eightBit().map(Int8Scheme::threshold).orElse(threshold);
        if (asked != threshold && asked != Int8Weight.DEFAULT_THRESHOLD) {
            throw error(
                    directory,
                    "llm_int8_threshold is " + threshold + " there, and " + asked
                            + " was asked for; transformers keeps what is stored. Change it in the file");
        }
        return new Int8Scheme(threshold);
    }

    private static double threshold(Path directory, JsonElement value) {
        if (value == null) {
            return Int8Weight.DEFAULT_THRESHOLD;
        }
        double threshold = value.isJsonPrimitive() && value.getAsJsonPrimitive().isNumber() ? value.getAsDouble() : -1;
        if (!(threshold >= 0) || Double.isInfinite(threshold)) {
            throw error(directory, "llm_int8_threshold: a number of 0 or more is expected, found " + value);
        }
        return threshold;
    }

    private static QloraException error(Path directory, String problem) {
        return new QloraException(directory.resolve("config.json") + ": quantization_config: " + problem);
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
