package io.github.qlora4j.trainer.model;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.QuantType;
import io.github.qlora4j.quant.StoredScheme;
import io.github.qlora4j.quant.StoredSchemes;
import io.github.qlora4j.quant.internal.StrictJson;
import io.github.qlora4j.quant.torch.Dtype;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;

/**
 * The scheme of a directory that is quantized already: it is read from {@code quantization_config} and holds.
 *
 * @param options how the base is read, whatever was asked for
 * @param scheme what reads the linear layers, where they are not stored as bitsandbytes does
 */
record StoredQuantization(BaseOptions options, Optional<StoredScheme> scheme) {

    private static final Logger LOG = LogManager.getLogger(StoredQuantization.class);

    /** Where the packages wrote their settings before config.json had a place for them, and the method of each. */
    private static final Map<String, String> OLDER_FILES =
            Map.of("quantize_config.json", "gptq", "quant_config.json", "awq");

    static StoredQuantization of(Path directory, ModelConfig config, BaseOptions options) {
        Optional<StoredScheme> scheme = scheme(directory, config);
        if (scheme.isPresent()) {
            scheme.get().remarks().forEach(remark -> LOG.info("{}: {}", directory, remark));
            // products run in the model's dtype where none is asked for, as there
            Dtype compute = options.fourBit().isPresent()
                    ? options.compute()
                    : options.dtype().or(config::dtype).orElse(Dtype.FLOAT32);
            return new StoredQuantization(
                    new BaseOptions(
                            options.dtype(),
                            Optional.empty(),
                            compute,
                            options.upcast(),
                            options.skipModules(),
                            options.kernel()),
                    scheme);
        }
        return new StoredQuantization(bitsandbytes(directory, config, options), Optional.empty());
    }

    /**
     * What reads the linear layers of a directory, where its settings name a scheme of {@link StoredSchemes}.
     *
     * @throws QloraException if the settings are damaged or ask for what is not supported
     */
    static Optional<StoredScheme> scheme(Path directory, ModelConfig config) {
        if (config.quantization().isPresent()) {
            JsonObject stored = config.quantization().get();
            return StoredSchemes.of(
                    text(stored, "quant_method", "bitsandbytes"),
                    stored,
                    directory.resolve("config.json") + ": quantization_config");
        }
        for (Map.Entry<String, String> older : OLDER_FILES.entrySet()) {
            Path file = directory.resolve(older.getKey());
            if (Files.isRegularFile(file)) {
                JsonObject stored = StrictJson.readObject(file);
                return StoredSchemes.of(text(stored, "quant_method", older.getValue()), stored, file.toString());
            }
        }
        return Optional.empty();
    }

    private static BaseOptions bitsandbytes(Path directory, ModelConfig config, BaseOptions options) {
        if (config.quantization().isEmpty()) {
            return options;
        }
        JsonObject stored = config.quantization().get();
        String method = text(stored, "quant_method", "bitsandbytes");
        if (!method.equals("bitsandbytes") || !flag(stored, "load_in_4bit")) {
            throw new QloraException(directory.resolve("config.json") + ": quantization_config: a base quantized by "
                    + method + (flag(stored, "load_in_8bit") ? " to 8 bits" : "")
                    + " is not supported; expected bitsandbytes with load_in_4bit, gptq or awq");
        }
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
                compute,
                options.upcast(),
                options.skipModules(),
                options.kernel());
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
