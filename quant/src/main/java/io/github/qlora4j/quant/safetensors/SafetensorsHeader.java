package io.github.qlora4j.quant.safetensors;

import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.Reason;
import io.github.qlora4j.quant.internal.StrictJson;
import io.github.qlora4j.quant.torch.Dtype;
import java.io.IOException;
import java.io.StringReader;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The checked header of a safetensors file: every range lies in the file, fits its shape, and the ranges fill the data
 * without overlap or gap.
 *
 * <p>The rules are those of the reference reader (github.com/huggingface/safetensors, {@code tensor.rs}), and a few
 * stricter ones: no duplicate and no unknown keys.
 */
record SafetensorsHeader(Map<String, TensorInfo> tensors, Map<String, String> metadata) {

    /** The reference reader refuses longer headers too. */
    static final long MAX_HEADER_BYTES = 100_000_000;

    /** Bytes before the header: its length as a little-endian 64-bit number. */
    static final int PREFIX_BYTES = 8;

    static final String METADATA_KEY = "__metadata__";

    /** More dimensions than any tensor of a model has, and few enough for every library. */
    private static final int MAX_RANK = 16;

    /** Parses and checks the header's JSON; {@code fileSize} is what the ranges must fill. */
    static SafetensorsHeader parse(Path file, byte[] json, long fileSize) {
        long dataStart = PREFIX_BYTES + (long) json.length;
        String where = file + ": safetensors header";
        List<TensorInfo> found = new ArrayList<>();
        Map<String, String> metadata = new LinkedHashMap<>();
        Map<String, TensorInfo> byName = new LinkedHashMap<>();
        try (JsonReader reader = StrictJson.reader(new StringReader(StrictJson.decode(json)))) {
            boolean metadataSeen = false;
            reader.beginObject();
            while (reader.hasNext()) {
                String name = reader.nextName();
                if (name.equals(METADATA_KEY)) {
                    if (metadataSeen) {
                        throw new QloraException(where + ": the key \"" + name + "\" stands twice");
                    }
                    metadataSeen = true;
                    readMetadata(reader, where, metadata);
                    continue;
                }
                TensorInfo tensor = readTensor(reader, file, name, dataStart, fileSize);
                if (byName.put(name, tensor) != null) {
                    throw new QloraException(tensorAt(file, name) + ": it is described twice in the header");
                }
                found.add(tensor);
            }
            reader.endObject();
            StrictJson.end(reader, where);
        } catch (IOException | IllegalStateException | NumberFormatException e) {
            throw StrictJson.malformed(where, e);
        }
        found.sort(Comparator.comparingLong(TensorInfo::offset).thenComparingLong(TensorInfo::byteLength));
        checkRanges(file, found, dataStart, fileSize);
        Map<String, TensorInfo> ordered = new LinkedHashMap<>();
        found.forEach(tensor -> ordered.put(tensor.name(), tensor));
        return new SafetensorsHeader(Collections.unmodifiableMap(ordered), Collections.unmodifiableMap(metadata));
    }

    static String tensorAt(Path file, String name) {
        return file + ": tensor " + name;
    }

    private static void readMetadata(JsonReader reader, String where, Map<String, String> metadata) throws IOException {
        reader.beginObject();
        while (reader.hasNext()) {
            String key = reader.nextName();
            if (reader.peek() != JsonToken.STRING) {
                throw new QloraException(where + ": " + METADATA_KEY + "." + key + ": a string was expected, found "
                        + Reason.kind(reader.peek()));
            }
            if (metadata.put(key, reader.nextString()) != null) {
                throw new QloraException(where + ": " + METADATA_KEY + ": the key \"" + key + "\" stands twice");
            }
        }
        reader.endObject();
    }

    private static TensorInfo readTensor(JsonReader reader, Path file, String name, long dataStart, long fileSize)
            throws IOException {
        String where = tensorAt(file, name);
        if (reader.peek() != JsonToken.BEGIN_OBJECT) {
            throw new QloraException(where + ": an object with dtype, shape and data_offsets was expected, found "
                    + Reason.kind(reader.peek()));
        }
        Dtype dtype = null;
        long[] shape = null;
        long[] range = null;
        reader.beginObject();
        while (reader.hasNext()) {
            String key = reader.nextName();
            if (key.equals("dtype") && dtype == null) {
                dtype = readDtype(reader, where);
            } else if (key.equals("shape") && shape == null) {
                shape = readNumbers(reader, where + ": shape", MAX_RANK);
            } else if (key.equals("data_offsets") && range == null) {
                range = readNumbers(reader, where + ": data_offsets", 2);
            } else {
                throw new QloraException(where + ": unexpected or repeated key \"" + key
                        + "\"; dtype, shape and data_offsets are expected, once each");
            }
        }
        reader.endObject();
        if (dtype == null || shape == null || range == null || range.length != 2) {
            throw new QloraException(where + ": dtype, shape and data_offsets (two numbers) are all needed");
        }
        long begin = range[0];
        long end = range[1];
        if (begin > end || end > fileSize - dataStart) {
            throw new QloraException(where + ": data_offsets [" + begin + ", " + end + "] lie outside the "
                    + (fileSize - dataStart) + " bytes of data; the file is damaged or cut");
        }
        long expected;
        try {
            expected = Math.multiplyExact(TensorSpec.product(shape), dtype.bytes());
        } catch (ArithmeticException e) {
            throw new QloraException(
                    where + ": the shape " + Arrays.toString(shape) + " has more elements than can be counted", e);
        }
        if (end - begin != expected) {
            throw new QloraException(where + ": shape " + Arrays.toString(shape) + " in " + dtype.safetensors()
                    + " needs " + expected + " bytes, data_offsets give " + (end - begin));
        }
        return new TensorInfo(name, dtype, shape, dataStart + begin, expected);
    }

    private static Dtype readDtype(JsonReader reader, String where) throws IOException {
        if (reader.peek() != JsonToken.STRING) {
            throw new QloraException(where + ": dtype: a string was expected, found " + Reason.kind(reader.peek()));
        }
        try {
            return Dtype.ofSafetensors(reader.nextString());
        } catch (QloraException e) {
            throw new QloraException(where + ": " + e.getMessage(), e);
        }
    }

    /** Reads an array of at most {@code most} numbers, each written in plain digits. */
    private static long[] readNumbers(JsonReader reader, String where, int most) throws IOException {
        if (reader.peek() != JsonToken.BEGIN_ARRAY) {
            throw new QloraException(where + ": an array of numbers was expected, found " + Reason.kind(reader.peek()));
        }
        long[] numbers = new long[most];
        int count = 0;
        reader.beginArray();
        while (reader.hasNext()) {
            if (count == most) {
                throw new QloraException(where + ": more than " + most + " numbers");
            }
            // Gson's nextLong also takes "12" and 1.2e1.
            String text = reader.peek() == JsonToken.NUMBER ? reader.nextString() : "";
            if (!text.matches("[0-9]{1,18}")) {
                throw new QloraException(where + ": a non-negative whole number was expected, found "
                        + (text.isEmpty() ? Reason.kind(reader.peek()) : text));
            }
            numbers[count++] = Long.parseLong(text);
        }
        reader.endArray();
        return Arrays.copyOf(numbers, count);
    }

    private static void checkRanges(Path file, List<TensorInfo> sorted, long dataStart, long fileSize) {
        long at = dataStart;
        for (TensorInfo tensor : sorted) {
            if (tensor.offset() != at) {
                throw new QloraException(tensorAt(file, tensor.name()) + ": its bytes begin at "
                        + (tensor.offset() - dataStart) + ", the tensor before it ends at " + (at - dataStart)
                        + "; tensors may neither overlap nor leave a gap");
            }
            at += tensor.byteLength();
        }
        if (at != fileSize) {
            throw new QloraException(file + ": the header describes " + (at - dataStart) + " bytes of tensors, the file"
                    + " holds " + (fileSize - dataStart) + "; it is damaged, cut or appended to");
        }
    }
}
