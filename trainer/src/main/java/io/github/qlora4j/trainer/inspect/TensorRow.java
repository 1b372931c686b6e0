package io.github.qlora4j.trainer.inspect;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.Int8Checkpoint;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.StrictJson;
import io.github.qlora4j.quant.safetensors.SafetensorsFile;
import io.github.qlora4j.quant.safetensors.TensorInfo;
import io.github.qlora4j.quant.torch.Dtype;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * A tensor as {@code inspect} shows it; the parts of a 4-bit or 8-bit weight are one row.
 *
 * @param name the tensor's name
 * @param dtype its dtype as safetensors spells it, or {@code nf4}, {@code fp4}
 * @param shape its shape; of a 4-bit weight of bitsandbytes the shape before packing
 * @param elements numbers of the model that it stands for: of GPTQ's and AWQ's packed weights those before packing, of their
 *     scales, zero points and indices none
 * @param bytes what it takes in the file, with all its parts
 * @param parameterBytes what of that is the parameter itself, as transformers counts a model's footprint
 * @param detail how it is quantized; empty where it is not
 */
record TensorRow(
        String name, String dtype, List<Long> shape, long elements, long bytes, long parameterBytes, String detail) {
    private static final String STATE = ".quant_state.bitsandbytes__";
    private static final List<String> PARTS = List.of(".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map");
    private static final List<String> GROUPED = List.of("qweight", "qzeros", "scales", "g_idx");
    private static final long AWQ_CODES = 8;
    private static final long LARGEST_STATE = 1 << 16;

    JsonObject json() {
        JsonObject json = new JsonObject();
        json.addProperty("name", name);
        json.addProperty("dtype", dtype);
        JsonArray sizes = new JsonArray();
        shape.forEach(sizes::add);
        json.add("shape", sizes);
        json.addProperty("bytes", bytes);
        if (!detail.isEmpty()) {
            json.addProperty("quantization", detail);
        }
        return json;
    }

    /** The rows of a file, in its order. */
    static List<TensorRow> of(SafetensorsFile file) {
        Map<String, TensorInfo> tensors = file.tensors();
        Set<String> parts = new HashSet<>();
        Map<String, String> states = tensors.keySet().stream()
                .filter(name -> name.contains(STATE))
                .collect(Collectors.toMap(name -> name.substring(0, name.indexOf(STATE)), name -> name, (a, b) -> a));
        states.forEach((weight, state) -> {
            if (tensors.containsKey(weight)) {
                parts.add(state);
                PARTS.forEach(part -> parts.add(weight + part));
            }
        });
        for (String name : tensors.keySet()) {
            String weight = int8Weight(name);
            if (weight != null && tensors.containsKey(weight)) {
                parts.add(name);
            }
        }
        List<TensorRow> rows = new ArrayList<>();
        for (TensorInfo info : tensors.values()) {
            if (!parts.contains(info.name())) {
                String state = states.get(info.name());
                rows.add(state != null ? fourBit(file, info, tensors.get(state)) : whole(tensors, info));
            }
        }
        return rows;
    }

    private static TensorRow whole(Map<String, TensorInfo> tensors, TensorInfo info) {
        int dot = info.name().lastIndexOf('.');
        if (dot > 0 && GROUPED.contains(info.name().substring(dot + 1))) {
            Map<String, TensorInfo> parts = GROUPED.stream()
                    .map(part -> tensors.get(info.name().substring(0, dot + 1) + part))
                    .filter(Objects::nonNull)
                    .collect(Collectors.toMap(part -> part.name().substring(dot + 1), part -> part));
            if (parts.containsKey("qweight") && parts.containsKey("scales")) {
                return grouped(parts, info);
            }
        }
        return info.dtype() == Dtype.INT8 ? int8(tensors, info) : plain(info);
    }

    /** A part of a weight of GPTQ, which has {@code g_idx}, or of AWQ. */
    private static TensorRow grouped(Map<String, TensorInfo> parts, TensorInfo info) {
        TensorRow row = plain(info);
        long[] packed = parts.get("qweight").shape();
        TensorInfo indices = parts.get("g_idx");
        if (!info.name().endsWith(".qweight") || packed.length != 2) {
            return new TensorRow(row.name, row.dtype, row.shape, 0, row.bytes, row.bytes, "");
        }
        long in = indices != null ? indices.elements() : packed[0];
        long out = indices != null ? packed[1] : packed[1] * AWQ_CODES;
        String bits = indices != null ? "GPTQ, " + packed[0] * Integer.SIZE / Math.max(1, in) : "AWQ, 4";
        String detail =
                bits + " bits, " + parts.get("scales").shape()[0] + " groups, before packing [" + out + ", " + in + "]";
        return new TensorRow(row.name, row.dtype, row.shape, out * in, row.bytes, row.bytes, detail);
    }

    private static TensorRow plain(TensorInfo info) {
        List<Long> shape = Arrays.stream(info.shape()).boxed().toList();
        return new TensorRow(
                info.name(),
                info.dtype().safetensors(),
                shape,
                info.elements(),
                info.byteLength(),
                info.byteLength(),
                "");
    }

    /** The weight that a tensor is a part of by its name in an 8-bit checkpoint; null where it is none. */
    private static String int8Weight(String name) {
        return Int8Checkpoint.isState(name) ? name.substring(0, name.lastIndexOf('.')) + ".weight" : null;
    }

    private static TensorRow int8(Map<String, TensorInfo> tensors, TensorInfo weight) {
        TensorRow row = plain(weight);
        long parts = tensors.values().stream()
                .filter(info -> weight.name().equals(int8Weight(info.name())))
                .mapToLong(TensorInfo::byteLength)
                .sum();
        return parts == 0
                ? row
                : new TensorRow(
                        row.name,
                        row.dtype,
                        row.shape,
                        row.elements,
                        row.bytes + parts,
                        row.bytes,
                        "LLM.int8(), a scale a row");
    }

    private static TensorRow fourBit(SafetensorsFile file, TensorInfo weight, TensorInfo state) {
        if (state.byteLength() > LARGEST_STATE) {
            return plain(weight);
        }
        byte[] bytes = new byte[(int) state.byteLength()];
        ByteBuffer target = ByteBuffer.allocateDirect(bytes.length);
        file.read(state.name(), 0, target);
        target.flip().get(bytes);
        String where = file.path() + ": " + state.name();
        QuantState read = QuantState.of(StrictJson.parseObject(bytes, where), where);
        long stored = weight.byteLength() + state.byteLength();
        for (String part : PARTS) {
            TensorInfo info = file.tensors().get(weight.name() + part);
            stored += info == null ? 0 : info.byteLength();
        }
        long elements = read.shape().stream().reduce(1L, (a, b) -> a * b);
        return new TensorRow(
                weight.name(), read.type(), read.shape(), elements, stored, weight.byteLength(), read.toString());
    }

    /** What bitsandbytes says of a weight. */
    private record QuantState(String type, String blocksize, String dtype, List<Long> shape, boolean nested) {
        static QuantState of(JsonObject json, String where) {
            List<Long> shape = new ArrayList<>();
            if (json.get("shape") instanceof JsonArray sizes) {
                for (JsonElement size : sizes) {
                    if (!size.toString().matches("[0-9]{1,18}")) {
                        throw new QloraException(where + ": shape: whole numbers are expected, found " + sizes);
                    }
                    shape.add(size.getAsLong());
                }
            }
            return new QuantState(
                    text(json, "quant_type"),
                    text(json, "blocksize"),
                    text(json, "dtype"),
                    shape,
                    json.has("nested_offset"));
        }

        private static String text(JsonObject json, String key) {
            return json.has(key) && json.get(key).isJsonPrimitive()
                    ? json.get(key).getAsString()
                    : "?";
        }

        @Override
        public String toString() {
            return "blocksize " + blocksize + ", from " + dtype + (nested ? ", double quantization" : "");
        }
    }
}
