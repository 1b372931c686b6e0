package io.github.qlora4j.trainer.model;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import io.github.qlora4j.quant.BitsAndBytesCheckpoint;
import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.Int8Scheme;
import io.github.qlora4j.quant.Int8Weight;
import io.github.qlora4j.quant.Kernels;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.QuantType;
import io.github.qlora4j.quant.StoredScheme;
import io.github.qlora4j.quant.StoredSchemes;
import io.github.qlora4j.quant.internal.StrictJson;
import io.github.qlora4j.quant.torch.Dtype;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.stream.Stream;

/**
 * The scheme of a directory that is quantized already: it is read from {@code quantization_config} and holds.
 *
 * @param options how the base is read, whatever was asked for
 * @param scheme what reads the linear layers that are stored quantized; there may be none
 * @param settings the directory's own; empty where it is not quantized
 */
public record StoredQuantization(BaseOptions options, StoredScheme scheme, Optional<JsonObject> settings) {

    /** Where the packages wrote their settings before config.json had a place for them, and the method of each. */
    private static final Map<String, String> OLDER_FILES =
            Map.of("quantize_config.json", "gptq", "quant_config.json", "awq");

    /** Other names of keys, as some directories have them. */
    private static final Map<String, String> SPELLINGS =
            Map.of("checkpoint_format", "format", "version", "format", "bits", "w_bit", "group_size", "q_group_size");

    /**
     * Reads a directory's settings.
     *
     * @param options how the base is asked for
     * @throws QloraException if the settings are damaged, ask for what is not supported, or {@code options} for another
     *     scheme
     */
    public static StoredQuantization of(Path directory, ModelConfig config, BaseOptions options) {
        Dtype dtype = options.dtype().or(config::dtype).orElse(Dtype.FLOAT32);
        Optional<Settings> settings = settings(directory, config);
        Optional<JsonObject> own = settings.map(Settings::json);
        Optional<StoredScheme> scheme = settings.flatMap(s -> StoredSchemes.of(s.method(), s.json(), s.where()));
        if (options.stored().size() > 0) {
            if (scheme.isEmpty()) {
                throw new QloraException("quantization."
                        + String.join(", quantization.", options.stored().keySet())
                        + ": is about a base that is stored by GPTQ or AWQ, which " + directory + " is not");
            }
            Settings given = settings.get();
            scheme = StoredSchemes.of(given.method(), overlaid(directory, given, options.stored()), given.where());
        }
        if (scheme.isPresent()) {
            if (options.eightBit().isPresent() || options.fourBit().isPresent()) {
                throw new QloraException(directory + ": the base is stored by "
                        + scheme.get().name() + ", and "
                        + (options.eightBit().isPresent() ? "load_in_8bit" : "load_in_4bit")
                        + " asks for another; leave that out, or give the unquantized model");
            }
            return new StoredQuantization(
                    // products run in the model's dtype where none is asked for, as there
                    options.withCompute(dtype).withStored(new JsonObject()), scheme.get(), own);
        }
        BaseOptions read = bitsandbytes(directory, config, options);
        if (read.eightBit().isPresent()) {
            read = read.withCompute(options.upcast() ? Dtype.FLOAT32 : dtype);
        }
        double threshold = read.eightBit().map(Int8Scheme::threshold).orElse(Int8Weight.DEFAULT_THRESHOLD);
        return new StoredQuantization(
                read, new BitsAndBytesCheckpoint(() -> Kernels.choose(options.kernel()), threshold), own);
    }

    /**
     * Whether a linear layer, {@code model.layers.0.mlp.up_proj} for instance, is left as it is: by the directory's settings
     * where it is quantized, else as was asked for.
     */
    public boolean leavesOut(String module) {
        if (settings.isEmpty()) {
            return options.skips(module);
        }
        JsonObject json = settings.get();
        if (json.get("modules_in_block_to_quantize") instanceof JsonArray lists) {
            return strings(lists).stream().noneMatch(module::endsWith);
        }
        if (json.get("modules_to_not_convert") instanceof JsonArray list) {
            return SkipModules.headAnd(strings(list)).keeps(module);
        }
        return json.get("llm_int8_skip_modules") instanceof JsonArray list
                ? SkipModules.of(strings(list)).keeps(module)
                : SkipModules.DEFAULT.keeps(module);
    }

    /** The strings of a list, and of lists in it. */
    private static List<String> strings(JsonArray list) {
        return list.asList().stream()
                .flatMap(each -> each instanceof JsonArray inner
                        ? strings(inner).stream()
                        : Stream.of(each.isJsonPrimitive() ? each.getAsString() : each.toString()))
                .toList();
    }

    /**
     * The directory's settings with what was asked for over them: the choice of a kernel. What says how the base was
     * quantized has to be as it is stored.
     */
    private static JsonObject overlaid(Path directory, Settings settings, JsonObject asked) {
        JsonObject all = settings.json().deepCopy();
        asked.entrySet().forEach(key -> {
            String name = key.getKey();
            if (StoredSchemes.choosesKernel(name)) {
                all.add(name, key.getValue());
                return;
            }
            JsonElement stored = name.equals("quant_method") ? new JsonPrimitive(settings.method()) : all.get(name);
            if (stored == null && SPELLINGS.containsKey(name)) {
                stored = all.get(SPELLINGS.get(name));
            }
            if (stored == null || !same(stored, key.getValue())) {
                throw new QloraException("quantization." + name + ": is " + plain(key.getValue()) + ", and " + directory
                        + " is stored with " + (stored == null ? "no such key" : plain(stored))
                        + "; a base that is quantized keeps its settings. Leave the key out");
            }
        });
        return all;
    }

    private static boolean same(JsonElement stored, JsonElement asked) {
        boolean numbers = stored.isJsonPrimitive()
                && stored.getAsJsonPrimitive().isNumber()
                && asked.getAsJsonPrimitive().isNumber();
        return numbers
                ? stored.getAsDouble() == asked.getAsDouble()
                : plain(stored).equalsIgnoreCase(plain(asked));
    }

    private static String plain(JsonElement value) {
        return value.isJsonPrimitive() ? value.getAsString() : value.toString();
    }

    /** A directory's settings, their method, and where they stand. */
    private record Settings(String method, JsonObject json, String where) {}

    private static Optional<Settings> settings(Path directory, ModelConfig config) {
        if (config.quantization().isPresent()) {
            JsonObject stored = config.quantization().get();
            return Optional.of(new Settings(
                    text(stored, "quant_method", "bitsandbytes"),
                    stored,
                    directory.resolve("config.json") + ": quantization_config"));
        }
        for (Map.Entry<String, String> older : OLDER_FILES.entrySet()) {
            Path file = directory.resolve(older.getKey());
            if (Files.isRegularFile(file)) {
                JsonObject stored = StrictJson.readObject(file);
                return Optional.of(
                        new Settings(text(stored, "quant_method", older.getValue()), stored, file.toString()));
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
        boolean four = flag(stored, "load_in_4bit");
        boolean eight = flag(stored, "load_in_8bit");
        if (!method.equals("bitsandbytes") || four == eight) {
            throw error(
                    directory,
                    "a base quantized by " + method
                            + " is not supported; expected bitsandbytes with load_in_4bit or load_in_8bit, gptq or awq");
        }
        if (four ? options.eightBit().isPresent() : options.fourBit().isPresent()) {
            throw error(
                    directory,
                    "the base is stored in " + (four ? "4 bits" : "8 bits") + ", and load_in_" + (four ? "8" : "4")
                            + "bit asks for another; leave that out, or give the unquantized model");
        }
        return four ? fourBit(directory, stored, options) : options.withEightBit(eightBit(directory, stored, options));
    }

    private static BaseOptions fourBit(Path directory, JsonObject stored, BaseOptions options) {
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
                Optional.empty(),
                compute,
                options.upcast(),
                options.skipModules(),
                options.kernel(),
                options.placement(),
                new JsonObject());
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
