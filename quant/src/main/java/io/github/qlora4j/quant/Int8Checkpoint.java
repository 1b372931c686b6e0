package io.github.qlora4j.quant;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.safetensors.TensorInfo;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * LLM.int8() weights in model directories, as transformers and bitsandbytes save and load them.
 *
 * <p>A layer {@code L} has {@code L.weight} (int8, {@code [out, in]}), {@code L.SCB} (float32, the largest absolute value
 * of each row) and {@code L.weight_format} (uint8, a scalar: 0 for rows, the only one that bitsandbytes still reads; older
 * files lack it and mean the same). Source: {@code Linear8bitLt._save_to_state_dict} and {@code maybe_rearrange_weight} in
 * bitsandbytes' nn/modules.py.
 */
public final class Int8Checkpoint {

    private static final String WEIGHT = ".weight";
    private static final String SCALES = ".SCB";
    private static final String FORMAT = ".weight_format";

    private Int8Checkpoint() {}

    /** Whether a model holds a weight, such as {@code model.layers.0.mlp.up_proj.weight}, in int8. */
    public static boolean has(ModelDirectory model, String name) {
        return name.endsWith(WEIGHT)
                && (model.has(part(name, SCALES))
                        || model.has(name) && model.info(name).dtype() == Dtype.INT8);
    }

    /** Whether a model holds any weight in int8. */
    public static boolean isQuantized(ModelDirectory model) {
        return model.names().stream().anyMatch(name -> name.endsWith(SCALES));
    }

    /** Whether a tensor is part of an int8 weight and no parameter of the model by itself. */
    public static boolean isState(String name) {
        return name.endsWith(SCALES) || name.endsWith(FORMAT);
    }

    /**
     * Reads an int8 weight; the caller closes it.
     *
     * @param threshold from which on an element of the activations is an outlier; 0 for none
     * @throws QloraException if one of its tensors is missing, does not fit, or says what is not supported
     */
    public static Int8Weight read(ModelDirectory model, String name, double threshold) {
        NDManager owner = Torch.newManager();
        try {
            Int8Weight weight = read(model, name, threshold, owner);
            owner = null;
            return weight;
        } finally {
            if (owner != null) {
                owner.close();
            }
        }
    }

    private static Int8Weight read(ModelDirectory model, String name, double threshold, NDManager owner) {
        String scalesName = part(name, SCALES);
        for (String needed : new String[] {name, scalesName}) {
            if (!model.has(needed)) {
                throw new QloraException(model.path() + ": tensor " + needed + " is missing; a weight in int8 is "
                        + name + " and " + scalesName);
            }
        }
        TensorInfo info = model.info(name);
        if (info.dtype() != Dtype.INT8 || info.shape().length != 2 || info.elements() == 0) {
            throw error(model, name, "an int8 matrix is expected beside " + scalesName + ", found " + info);
        }
        checkFormat(model, part(name, FORMAT));
        long rows = info.shape()[0];
        TensorInfo found = model.info(scalesName);
        if (found.dtype() != Dtype.FLOAT32 || found.shape().length != 1 || found.elements() != rows) {
            throw error(model, scalesName, "float32 [" + rows + "] is expected, found " + found);
        }
        NDArray scales = model.read(owner, scalesName);
        float[] values = Torch.toFloats(scales);
        for (int row = 0; row < values.length; row++) {
            if (!Float.isFinite(values[row]) || values[row] < 0) {
                throw error(model, scalesName, "element " + row + " is " + values[row] + "; the file is damaged");
            }
        }
        return new Int8Weight(owner, model.read(owner, name), scales, threshold);
    }

    private static void checkFormat(ModelDirectory model, String name) {
        if (!model.has(name)) {
            return;
        }
        TensorInfo info = model.info(name);
        if (info.dtype() != Dtype.UINT8 || info.elements() != 1) {
            throw error(model, name, "one uint8 is expected, found " + info);
        }
        try (NDManager manager = Torch.newManager()) {
            int format = Byte.toUnsignedInt(
                    Torch.bytes(model.read(manager, name), 0, 1).get());
            if (format != 0) {
                throw error(
                        model,
                        name,
                        "weight format " + format + " is not supported; expected 0, rows. Load and save the"
                                + " model with a bitsandbytes that reads it");
            }
        }
    }

    private static QloraException error(ModelDirectory model, String name, String problem) {
        return new QloraException(model.fileOf(name) + ": tensor " + name + ": " + problem);
    }

    private static String part(String weight, String suffix) {
        return weight.substring(0, weight.length() - WEIGHT.length()) + suffix;
    }

    /**
     * The tensors that stand for a weight in a file, by name; new ones belong to {@code manager}, the others stay the
     * weight's.
     */
    public static Map<String, NDArray> tensors(NDManager manager, String name, Int8Weight weight) {
        Map<String, NDArray> tensors = new LinkedHashMap<>();
        tensors.put(part(name, SCALES), weight.scales());
        tensors.put(name, weight.codes());
        tensors.put(part(name, FORMAT), Torch.zeros(manager, Dtype.UINT8));
        return tensors;
    }

    /** {@code quantization_config} of {@code config.json} as transformers 5.23 writes it. */
    public static JsonObject quantizationConfig(double threshold) {
        JsonObject json = new JsonObject();
        json.addProperty("_load_in_4bit", false);
        json.addProperty("_load_in_8bit", true);
        json.addProperty("bnb_4bit_compute_dtype", "float32");
        json.addProperty("bnb_4bit_quant_storage", "uint8");
        json.addProperty("bnb_4bit_quant_type", "fp4");
        json.addProperty("bnb_4bit_use_double_quant", false);
        json.addProperty("llm_int8_enable_fp32_cpu_offload", false);
        json.addProperty("llm_int8_has_fp16_weight", false);
        json.add("llm_int8_skip_modules", JsonNull.INSTANCE);
        json.addProperty("llm_int8_threshold", threshold);
        json.addProperty("load_in_4bit", false);
        json.addProperty("load_in_8bit", true);
        json.addProperty("quant_method", "bitsandbytes");
        return json;
    }
}
