package io.github.qlora4j.quant;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import com.google.gson.JsonArray;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.safetensors.TensorInfo;
import io.github.qlora4j.quant.safetensors.TensorSpec;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * AWQ weights in the files of a model, in the {@code gemm} layout that autoawq writes and transformers reads.
 *
 * <p>A module {@code M} of {@code in} inputs and {@code out} outputs has {@code M.qweight} int32 {@code [in, out/8]},
 * {@code M.qzeros} int32 {@code [groups, out/8]} and {@code M.scales} {@code [groups, out]}. The eight numbers of a word
 * belong to its outputs 0, 2, 4, 6, 1, 3, 5, 7, from the lowest bits up. Source: {@code WQLinear_GEMM.from_linear} in
 * autoawq 0.2.9's modules/linear/gemm.py.
 */
public final class AwqCheckpoint implements StoredScheme {

    private static final List<String> PARTS = List.of("qweight", "qzeros", "scales");
    private static final long[] ORDER = {0, 2, 4, 6, 1, 3, 5, 7};

    private final AwqConfig config;
    private final List<String> remarks;

    private AwqCheckpoint(AwqConfig config, List<String> remarks) {
        this.config = config;
        this.remarks = List.copyOf(remarks);
    }

    /** A checkpoint in the gemm layout. */
    public AwqCheckpoint(AwqConfig config) {
        this(config, List.of());
    }

    /**
     * Reads a {@code quantization_config}.
     *
     * @param where begins every error
     */
    static AwqCheckpoint of(JsonObject json, String where) {
        StoredSettings settings = new StoredSettings(json, where);
        String gemm = "gemm (gemv, gemv_fast and llm-awq are other layouts and are not read; autoawq converts them by"
                + " quantizing again with version gemm)";
        for (String key : List.of("version", "format")) {
            if (settings.has(key) && !settings.text(key).equals("gemm")) {
                throw settings.wrong(key, gemm);
            }
        }
        if (settings.has("backend") && settings.text("backend").equals("llm-awq")) {
            throw settings.wrong("backend", "the layout of autoawq, not that of llm-awq,");
        }
        String bits = settings.has("w_bit") ? "w_bit" : "bits";
        if (settings.integer(bits, AwqWeight.BITS) != AwqWeight.BITS) {
            throw settings.wrong(bits, String.valueOf(AwqWeight.BITS));
        }
        String size = settings.has("q_group_size") ? "q_group_size" : "group_size";
        settings.require(size);
        AwqConfig config;
        try {
            config = new AwqConfig(settings.integer(size, 0));
        } catch (QloraException e) {
            throw e.getMessage().startsWith(where) ? e : new QloraException(where + ": " + e.getMessage(), e);
        }
        if (!settings.flag("zero_point", true)) {
            throw settings.wrong("zero_point", "true (AWQ without zero points is not read)");
        }
        return new AwqCheckpoint(config, settings.kernelRemarks());
    }

    /** How it was quantized. */
    public AwqConfig config() {
        return config;
    }

    @Override
    public String name() {
        return "awq";
    }

    @Override
    public List<String> remarks() {
        return remarks;
    }

    @Override
    public boolean has(ModelDirectory model, String module) {
        return model.has(module + ".qweight");
    }

    @Override
    public Optional<String> moduleOf(ModelDirectory model, String tensor) {
        return StoredParts.moduleOf(tensor, PARTS).filter(module -> has(model, module));
    }

    @Override
    public AwqWeight read(ModelDirectory model, String module) {
        StoredParts parts = new StoredParts(model, module);
        TensorInfo packed = parts.info("qweight");
        if (packed.dtype() == Dtype.INT16) {
            throw parts.error(
                    "qweight",
                    "int16 is the layout of llm-awq (gemv_fast), which is not read; int32 [in, out/8], the gemm layout,"
                            + " is expected");
        }
        if (packed.dtype() != Dtype.INT32 || packed.shape().length != 2 || packed.elements() == 0) {
            throw parts.error("qweight", "an int32 matrix is expected, found " + StoredParts.described(packed));
        }
        long in = packed.shape()[0];
        long out = packed.shape()[1] * 8;
        long size = config.size(in);
        if (in % size != 0) {
            throw parts.error("qweight", in + " inputs do not fall into groups of " + size);
        }
        parts.expect("qzeros", Dtype.INT32, in / size, out / 8);
        parts.expectFloats("scales", in / size, out);
        NDManager owner = Torch.newManager();
        try (NDManager temporary = Torch.newManager()) {
            NDArray codes = unpacked(temporary, parts.read(temporary, "qweight"));
            NDArray zeros = unpacked(owner, parts.read(temporary, "qzeros"));
            NDArray scales = GroupedOps.transposed(owner, parts.readFinite(temporary, "scales"));
            AwqWeight weight = new AwqWeight(new GroupedCodes(
                    owner,
                    AwqWeight.BITS,
                    GroupedCodes.pack(owner, codes, AwqWeight.BITS, null),
                    scales,
                    zeros,
                    groupOf(in, size)));
            owner = null;
            return weight;
        } finally {
            if (owner != null) {
                owner.close();
            }
        }
    }

    static int[] groupOf(long in, long size) {
        return IntStream.range(0, Math.toIntExact(in))
                .map(i -> (int) (i / size))
                .toArray();
    }

    /** {@code [n, out/8]} words as {@code [out, n]} bytes. */
    private static NDArray unpacked(NDManager manager, NDArray words) {
        try (NDArray bytes = GroupedOps.unpackInterleaved(manager, words, ORDER)) {
            return GroupedOps.transposed(manager, bytes);
        }
    }

    private static NDArray packed(NDManager manager, NDArray bytes) {
        try (NDArray columns = GroupedOps.transposed(manager, bytes)) {
            return GroupedOps.packInterleaved(manager, columns, ORDER);
        }
    }

    /**
     * What {@link #tensors} will be of a module whose weight is {@code [out, in]}.
     *
     * @throws QloraException if the outputs do not fill whole words, or the inputs whole groups
     */
    public List<TensorSpec> specs(String module, long out, long in) {
        checkOutputs(module, out);
        long groups;
        try {
            groups = in / config.wholeSize(in);
        } catch (QloraException e) {
            throw new QloraException(module + ": " + e.getMessage(), e);
        }
        return List.of(
                new TensorSpec(module + ".qweight", Dtype.INT32, in, out / 8),
                new TensorSpec(module + ".qzeros", Dtype.INT32, groups, out / 8),
                new TensorSpec(module + ".scales", Dtype.FLOAT16, groups, out));
    }

    @Override
    public Optional<WeightBytes> bytes(long out, long in) {
        long groups = in / config.size(in);
        long codes = out * BitStream.words(in, AwqWeight.BITS) * Integer.BYTES;
        long scales = groups * out * Dtype.FLOAT16.bytes();
        return Optional.of(new WeightBytes(codes, scales + groups * out, in * out / 2 + groups * out / 2 + scales));
    }

    private static void checkOutputs(String module, long out) {
        if (out % 8 != 0) {
            throw new QloraException(
                    module + ": " + out + " outputs cannot be stored by AWQ, which packs eight to a word");
        }
    }

    /**
     * The tensors that stand for a module's weight in a file, by name; they belong to {@code manager}.
     *
     * @throws QloraException if the outputs do not fill whole words
     */
    public Map<String, NDArray> tensors(NDManager manager, String module, AwqWeight weight) {
        GroupedCodes codes = weight.codes();
        checkOutputs(module, codes.rows());
        Map<String, NDArray> tensors = new LinkedHashMap<>();
        try (NDManager temporary = Torch.newManager()) {
            tensors.put(module + ".qweight", packed(manager, codes.unpacked(temporary)));
        }
        tensors.put(module + ".qzeros", packed(manager, codes.zeros()));
        tensors.put(module + ".scales", GroupedOps.transposed(manager, codes.scales()));
        return tensors;
    }

    /**
     * {@code quantization_config} of {@code config.json} as autoawq 0.2.9 writes it.
     *
     * @param notConverted modules that stay as they are, by a part of their name; none is null there
     */
    public JsonObject quantizationConfig(List<String> notConverted) {
        JsonObject json = new JsonObject();
        json.addProperty("bits", AwqWeight.BITS);
        json.addProperty("group_size", config.groupSize());
        if (notConverted.isEmpty()) {
            json.add("modules_to_not_convert", JsonNull.INSTANCE);
        } else {
            JsonArray names = new JsonArray();
            notConverted.forEach(names::add);
            json.add("modules_to_not_convert", names);
        }
        json.addProperty("quant_method", "awq");
        json.addProperty("version", "gemm");
        json.addProperty("zero_point", true);
        return json;
    }
}
