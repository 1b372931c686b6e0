package io.github.qlora4j.quant;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.internal.PythonFloat;
import io.github.qlora4j.quant.internal.StrictJson;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.safetensors.TensorInfo;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;

/**
 * 4-bit weights in the files of a model, as transformers and bitsandbytes write and read them.
 *
 * <p>A weight {@code W} is the packed bytes {@code W}, {@code W.absmax}, {@code W.quant_map}, under double quantization
 * {@code W.nested_absmax} and {@code W.nested_quant_map}, and {@code W.quant_state.bitsandbytes__nf4} (or {@code fp4}):
 * a JSON text as uint8. Source: {@code QuantState.as_dict} and {@code from_dict} in bitsandbytes' functional.py.
 */
public final class FourBitCheckpoint {

    private static final Set<String> KEYS = Set.of("quant_type", "blocksize", "dtype", "shape");
    private static final Set<String> NESTED_KEYS =
            Set.of("quant_type", "blocksize", "dtype", "shape", "nested_blocksize", "nested_dtype", "nested_offset");

    /** How far a file's codes may lie from ours: other releases print them with other last digits. */
    private static final float CODE_TOLERANCE = 1e-6f;

    private FourBitCheckpoint() {}

    /** Whether a model holds a weight, such as {@code model.layers.0.mlp.up_proj.weight}, in four bits. */
    public static boolean has(ModelDirectory model, String name) {
        return Arrays.stream(QuantType.values()).anyMatch(type -> model.has(stateName(name, type)));
    }

    /** Whether a model holds any weight in four bits. */
    public static boolean isQuantized(ModelDirectory model) {
        return model.names().stream().anyMatch(name -> name.contains(".quant_state.bitsandbytes__"));
    }

    /** Whether a tensor is part of a 4-bit weight and no parameter of the model by itself. */
    public static boolean isState(String name) {
        return name.contains(".weight.");
    }

    /**
     * Reads a 4-bit weight; the caller closes it.
     *
     * @throws QloraException if one of its tensors is missing, does not fit, or says what is not supported
     */
    public static FourBitWeight read(ModelDirectory model, String name, Kernel kernel) {
        QuantType type = Arrays.stream(QuantType.values())
                .filter(t -> model.has(stateName(name, t)))
                .findFirst()
                .orElseThrow(() -> new QloraException(model.path() + ": " + name + " is not stored in four bits"));
        NDManager owner = Torch.newManager();
        try (NDManager temporary = Torch.newManager()) {
            FourBitWeight weight = read(new Parts(model, name, temporary), type, owner, kernel);
            owner = null;
            return weight;
        } finally {
            if (owner != null) {
                owner.close();
            }
        }
    }

    private static FourBitWeight read(Parts parts, QuantType type, NDManager owner, Kernel kernel) {
        JsonObject state = parts.state(type);
        boolean nested = state.has("nested_blocksize");
        if (!state.keySet().equals(nested ? NESTED_KEYS : KEYS)) {
            throw parts.error(
                    "quant_state",
                    "the keys " + (nested ? NESTED_KEYS : KEYS) + " are expected, found " + state.keySet());
        }
        parts.expect(state, "quant_type", type.key());
        FourBitConfig config = parts.config(state, type, nested);
        Dtype source = parts.dtype(state);
        long[] shape = parts.shape(state);
        long elements = shape[0] * shape[1];
        long blocks = FourBitConfig.blocks(elements, config.blocksize());
        parts.checkMap("quant_map", type.code());
        NDArray packed = parts.packed(owner, (elements + 1) / 2);
        if (!nested) {
            NDArray absmax = parts.tensor(owner, "absmax", Dtype.FLOAT32, blocks);
            parts.checkFinite("absmax", absmax);
            FourBitWeight.State plain = new FourBitWeight.State(packed, absmax, null, 0, null);
            return new FourBitWeight(owner, kernel, config, source, shape[0], shape[1], plain);
        }
        parts.expect(state, "nested_blocksize", String.valueOf(FourBitConfig.NESTED_BLOCKSIZE));
        parts.expect(state, "nested_dtype", "float32");
        float offset = parts.offset(state);
        NDArray absmax = parts.tensor(owner, "absmax", Dtype.UINT8, blocks);
        NDArray nestedAbsmax = parts.tensor(
                owner, "nested_absmax", Dtype.FLOAT32, FourBitConfig.blocks(blocks, FourBitConfig.NESTED_BLOCKSIZE));
        parts.checkFinite("nested_absmax", nestedAbsmax);
        NDArray map = parts.tensor(parts.temporary, "nested_quant_map", Dtype.FLOAT32, 256);
        parts.checkFinite("nested_quant_map", map);
        FourBitWeight.State doubled =
                new FourBitWeight.State(packed, absmax, nestedAbsmax, offset, DynamicMap.of(Torch.toFloats(map)));
        return new FourBitWeight(owner, kernel, config, source, shape[0], shape[1], doubled);
    }

    /**
     * The tensors that stand for a weight in a file, by name; new ones belong to {@code manager}, the others stay the
     * weight's.
     */
    public static Map<String, NDArray> tensors(NDManager manager, String name, FourBitWeight weight) {
        FourBitWeight.State state = weight.state();
        Map<String, NDArray> tensors = new LinkedHashMap<>();
        tensors.put(name, state.packed());
        tensors.put(name + ".absmax", state.absmax());
        tensors.put(
                name + ".quant_map",
                Torch.ofFloats(manager, weight.config().type().code()));
        if (weight.config().doubleQuant()) {
            tensors.put(name + ".nested_absmax", state.nestedAbsmax());
            tensors.put(
                    name + ".nested_quant_map",
                    Torch.ofFloats(manager, state.map().values()));
        }
        byte[] json = state(weight).getBytes(StandardCharsets.UTF_8);
        NDArray text = Torch.empty(manager, Dtype.UINT8, json.length);
        Torch.bytes(text, 0, json.length).put(json);
        tensors.put(stateName(name, weight.config().type()), text);
        return tensors;
    }

    /** Python's json.dumps of the state, key for key. */
    private static String state(FourBitWeight weight) {
        String text = "{\"quant_type\": \"" + weight.config().type().key() + "\", \"blocksize\": "
                + weight.config().blocksize() + ", \"dtype\": \""
                + weight.source().torchName() + "\", \"shape\": ["
                + weight.rows() + ", " + weight.cols() + "]";
        if (weight.config().doubleQuant()) {
            text += ", \"nested_blocksize\": " + FourBitConfig.NESTED_BLOCKSIZE
                    + ", \"nested_dtype\": \"float32\", \"nested_offset\": "
                    + PythonFloat.of(weight.state().offset());
        }
        return text + "}";
    }

    /** {@code quantization_config} of {@code config.json} as transformers 5.23 writes it. */
    public static JsonObject quantizationConfig(FourBitConfig config, Dtype compute) {
        JsonObject json = new JsonObject();
        json.addProperty("_load_in_4bit", true);
        json.addProperty("_load_in_8bit", false);
        json.addProperty("bnb_4bit_compute_dtype", compute.torchName());
        json.addProperty("bnb_4bit_quant_storage", "uint8");
        json.addProperty("bnb_4bit_quant_type", config.type().key());
        json.addProperty("bnb_4bit_use_double_quant", config.doubleQuant());
        json.addProperty("llm_int8_enable_fp32_cpu_offload", false);
        json.addProperty("llm_int8_has_fp16_weight", false);
        json.add("llm_int8_skip_modules", com.google.gson.JsonNull.INSTANCE);
        json.addProperty("llm_int8_threshold", 6.0);
        json.addProperty("load_in_4bit", true);
        json.addProperty("load_in_8bit", false);
        json.addProperty("quant_method", "bitsandbytes");
        return json;
    }

    private static String stateName(String name, QuantType type) {
        return name + ".quant_state.bitsandbytes__" + type.key();
    }

    /** The tensors of one weight in a model's files, each checked as it is read. */
    private record Parts(ModelDirectory model, String name, NDManager temporary) {

        QloraException error(String part, String problem) {
            return new QloraException(model.fileOf(name) + ": tensor " + name + "." + part + ": " + problem);
        }

        JsonObject state(QuantType type) {
            String full = stateName(name, type);
            TensorInfo info = model.info(full);
            if (!model.has(name)) {
                throw new QloraException(model.path() + ": " + full + " is there, its weight " + name + " is not");
            }
            if (info.dtype() != Dtype.UINT8 || info.byteLength() > 1 << 16) {
                throw error("quant_state", "a short uint8 text is expected, found " + info);
            }
            byte[] json = new byte[(int) info.byteLength()];
            model.file(full).read(full, 0, ByteBuffer.wrap(json));
            return StrictJson.parseObject(json, model.fileOf(full) + ": tensor " + full);
        }

        void expect(JsonObject state, String key, String value) {
            JsonElement found = state.get(key);
            if (!found.isJsonPrimitive() || !found.getAsString().equals(value)) {
                throw error("quant_state", key + " " + found + " is not supported; expected " + value);
            }
        }

        FourBitConfig config(JsonObject state, QuantType type, boolean nested) {
            for (int blocksize : FourBitConfig.BLOCKSIZES) {
                if (state.get("blocksize").toString().equals(String.valueOf(blocksize))) {
                    return new FourBitConfig(type, blocksize, nested);
                }
            }
            throw error(
                    "quant_state",
                    "blocksize " + state.get("blocksize") + " is not one of " + FourBitConfig.BLOCKSIZES);
        }

        Dtype dtype(JsonObject state) {
            String found =
                    state.get("dtype").isJsonPrimitive() ? state.get("dtype").getAsString() : "";
            return switch (found) {
                case "float32" -> Dtype.FLOAT32;
                case "float16" -> Dtype.FLOAT16;
                case "bfloat16" -> Dtype.BFLOAT16;
                default ->
                    throw error(
                            "quant_state", "dtype " + state.get("dtype") + " is not one of float32, float16, bfloat16");
            };
        }

        long[] shape(JsonObject state) {
            if (state.get("shape") instanceof JsonArray array && array.size() == 2) {
                String rows = array.get(0).toString();
                String cols = array.get(1).toString();
                // At most nine digits each: the product cannot overflow.
                if (rows.matches("[1-9][0-9]{0,8}") && cols.matches("[1-9][0-9]{0,8}")) {
                    return new long[] {Long.parseLong(rows), Long.parseLong(cols)};
                }
            }
            throw error("quant_state", "shape " + state.get("shape") + " is not that of a matrix");
        }

        float offset(JsonObject state) {
            try {
                float offset =
                        (float) Double.parseDouble(state.get("nested_offset").getAsString());
                if (Float.isFinite(offset)) {
                    return offset;
                }
            } catch (NumberFormatException | UnsupportedOperationException | IllegalStateException e) {
                // said below
            }
            throw error("quant_state", "nested_offset " + state.get("nested_offset") + " is not a number");
        }

        /** The packed bytes; quant_storage may have stored them as another dtype. */
        NDArray packed(NDManager owner, long bytes) {
            TensorInfo info = model.info(name);
            if (info.byteLength() != bytes) {
                throw new QloraException(model.fileOf(name) + ": tensor " + name + ": " + bytes
                        + " bytes of packed weights are expected, found " + info);
            }
            NDArray packed = Torch.empty(owner, Dtype.UINT8, bytes, 1);
            for (long at = 0; at < bytes; at += 1 << 30) {
                long length = Math.min(1 << 30, bytes - at);
                model.file(name).read(name, at, Torch.bytes(packed, at, length));
            }
            return packed;
        }

        NDArray tensor(NDManager owner, String part, Dtype dtype, long length) {
            String full = name + "." + part;
            if (!model.has(full)) {
                throw new QloraException(model.path() + ": tensor " + full + " is missing");
            }
            TensorInfo info = model.info(full);
            if (info.dtype() != dtype || info.elements() != length || info.shape().length != 1) {
                throw error(part, dtype.torchName() + " [" + length + "] is expected, found " + info);
            }
            return model.read(owner, full);
        }

        void checkFinite(String part, NDArray tensor) {
            for (float value : Torch.toFloats(tensor)) {
                if (!Float.isFinite(value)) {
                    throw error(part, "it holds " + value + "; the file is damaged");
                }
            }
        }

        void checkMap(String part, float[] code) {
            float[] found = Torch.toFloats(tensor(temporary, part, Dtype.FLOAT32, code.length));
            for (int i = 0; i < code.length; i++) {
                if (!(Math.abs(found[i] - code[i]) <= CODE_TOLERANCE)) {
                    throw error(part, "code " + i + " is " + found[i] + ", expected " + code[i]);
                }
            }
        }
    }
}
