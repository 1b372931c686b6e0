package io.github.qlora4j.quant;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
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

/**
 * GPTQ weights in the files of a model, as auto-gptq and GPTQModel write and transformers reads them.
 *
 * <p>A module {@code M} of {@code in} inputs and {@code out} outputs has {@code M.qweight} int32
 * {@code [in·bits/32, out]}, {@code M.qzeros} int32 {@code [groups, out·bits/32]}, {@code M.scales}
 * {@code [groups, out]} and {@code M.g_idx} int32 {@code [in]}, the group of each input. Source: {@code QuantLinear.pack}
 * in auto-gptq 0.7.1's nn_modules/qlinear/qlinear_cuda.py.
 *
 * <p>In {@link GptqFormat#GPTQ} 1 is taken from the packed zero points. For 2, 4 and 8 bits that is done and undone on
 * whole words, as GPTQModel does: a zero point of 0 borrows from its neighbour, and reading gives it back.
 */
public final class GptqCheckpoint implements StoredScheme {

    private static final List<String> PARTS = List.of("qweight", "qzeros", "scales", "g_idx");

    private final GptqConfig config;
    private final GptqFormat format;
    private final boolean uniform;
    private final List<String> remarks;

    private GptqCheckpoint(GptqConfig config, GptqFormat format, boolean uniform, List<String> remarks) {
        this.config = config;
        this.format = format;
        this.uniform = uniform;
        this.remarks = List.copyOf(remarks);
    }

    /** A checkpoint whose modules were all quantized in one way. */
    public GptqCheckpoint(GptqConfig config, GptqFormat format) {
        this(config, format, true, List.of());
    }

    /**
     * Reads a {@code quantization_config}.
     *
     * @param where begins every error
     */
    static GptqCheckpoint of(JsonObject json, String where) {
        StoredSettings settings = new StoredSettings(json, where);
        String key = settings.has("checkpoint_format") ? "checkpoint_format" : "format";
        GptqFormat format = !settings.has(key)
                ? GptqFormat.GPTQ
                : GptqFormat.ofKey(settings.text(key))
                        .orElseThrow(() -> settings.wrong(key, String.join(" or ", GptqFormat.keys())));
        if (settings.flag("is_marlin_format", false)) {
            throw settings.wrong("is_marlin_format", "false (Marlin's layout is not read; convert it to gptq)");
        }
        settings.require("bits");
        settings.require("group_size");
        GptqConfig config;
        try {
            config = new GptqConfig(
                    settings.integer("bits", 0),
                    settings.integer("group_size", 0),
                    settings.flag("sym", true),
                    settings.flag("desc_act", false),
                    settings.flag("static_groups", false),
                    settings.number("damp_percent", GptqConfig.DEFAULT.dampPercent()));
        } catch (QloraException e) {
            throw e.getMessage().startsWith(where) ? e : new QloraException(where + ": " + e.getMessage(), e);
        }
        return new GptqCheckpoint(config, format, !settings.has("dynamic"), settings.kernelRemarks());
    }

    /** How it was quantized. */
    public GptqConfig config() {
        return config;
    }

    /** How its zero points are kept. */
    public GptqFormat format() {
        return format;
    }

    @Override
    public String name() {
        return "gptq";
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
    public GptqWeight read(ModelDirectory model, String module) {
        StoredParts parts = new StoredParts(model, module);
        TensorInfo indices = parts.info("g_idx");
        TensorInfo packed = parts.info("qweight");
        if (packed.dtype() != Dtype.INT32 || packed.shape().length != 2 || packed.elements() == 0) {
            throw parts.error("qweight", "an int32 matrix is expected, found " + StoredParts.described(packed));
        }
        if (indices.dtype() != Dtype.INT32 || indices.shape().length != 1 || indices.elements() == 0) {
            throw parts.error("g_idx", "an int32 list is expected, found " + StoredParts.described(indices));
        }
        int in = Math.toIntExact(indices.elements());
        int out = Math.toIntExact(packed.shape()[1]);
        int bits = bits(parts, packed, in);
        TensorInfo factors = parts.info("scales");
        int groups = uniform || factors.shape().length != 2 ? config.groups(in) : Math.toIntExact(factors.shape()[0]);
        parts.expect("qweight", Dtype.INT32, (long) in * bits / 32, out);
        parts.expect("qzeros", Dtype.INT32, groups, (long) out * bits / 32);
        parts.expectFloats("scales", groups, out);
        if ((long) out * bits % 32 != 0) {
            throw parts.error("qzeros", "zero points of " + out + " outputs do not fill words of " + bits + " bits");
        }
        int[] groupOf = parts.readInts("g_idx");
        for (int i = 0; i < in; i++) {
            if (groupOf[i] < 0 || groupOf[i] >= groups) {
                throw parts.error("g_idx", "input " + i + " is in group " + groupOf[i] + " of 0 to " + (groups - 1));
            }
        }
        NDManager owner = Torch.newManager();
        try (NDManager temporary = Torch.newManager()) {
            GroupedCodes codes = read(parts, owner, temporary, bits, in, out, groupOf);
            owner = null;
            return new GptqWeight(codes);
        } finally {
            if (owner != null) {
                owner.close();
            }
        }
    }

    private int bits(StoredParts parts, TensorInfo packed, int in) {
        if (uniform) {
            return config.bits();
        }
        // GPTQModel's "dynamic" gives modules bits of their own; the shape tells them
        return GptqConfig.BITS.stream()
                .filter(bits -> packed.shape()[0] * 32 == (long) in * bits)
                .findFirst()
                .orElseThrow(() -> parts.error(
                        "qweight",
                        "no number of bits out of " + GptqConfig.BITS + " packs " + in + " inputs into "
                                + packed.shape()[0] + " rows"));
    }

    private GroupedCodes read(
            StoredParts parts, NDManager owner, NDManager temporary, int bits, int in, int out, int[] groupOf) {
        NDArray rows = GroupedOps.transposed(temporary, parts.read(temporary, "qweight"));
        int[] order = GroupedCodes.order(groupOf);
        NDArray codes;
        if (order == null) {
            codes = rows;
            codes.attach(owner);
        } else {
            codes = GroupedCodes.pack(owner, GroupedCodes.unpack(temporary, rows, bits, in, null), bits, order);
        }
        NDArray zeros = zeros(temporary, parts.read(temporary, "qzeros"), bits, out);
        return new GroupedCodes(
                owner,
                bits,
                codes,
                GroupedOps.transposed(owner, parts.readFinite(temporary, "scales")),
                GroupedOps.transposed(owner, zeros),
                groupOf);
    }

    /** Zero points {@code [groups, out]} as they are, uint8. */
    private NDArray zeros(NDManager temporary, NDArray packed, int bits, int out) {
        if (format == GptqFormat.GPTQ_V2) {
            return GroupedCodes.unpack(temporary, packed, bits, out, null);
        }
        if (32 % bits != 0) {
            return GroupedOps.plus(temporary, GroupedCodes.unpack(temporary, packed, bits, out, null), 1, bits);
        }
        return GroupedCodes.unpack(temporary, GroupedOps.plusEach(temporary, packed, 1, bits), bits, out, null);
    }

    /**
     * What {@link #tensors} will be of a module whose weight is {@code [out, in]}, with scales in float16.
     *
     * @throws QloraException if inputs or outputs do not fill whole words
     */
    public List<TensorSpec> specs(String module, long out, long in) {
        checkWords(module, out, in, config.bits());
        int groups = config.groups(in);
        return List.of(
                new TensorSpec(module + ".g_idx", Dtype.INT32, in),
                new TensorSpec(module + ".qweight", Dtype.INT32, in * config.bits() / 32, out),
                new TensorSpec(module + ".qzeros", Dtype.INT32, groups, out * config.bits() / 32),
                new TensorSpec(module + ".scales", Dtype.FLOAT16, groups, out));
    }

    /** {@inheritDoc} Modules to which {@code dynamic} gives bits of their own are counted like the others. */
    @Override
    public Optional<WeightBytes> bytes(long out, long in) {
        long groups = config.groups(in);
        long codes = out * BitStream.words(in, config.bits()) * Integer.BYTES;
        long order = config.descAct() && !config.staticGroups() && groups > 1 ? in * Integer.BYTES : 0;
        long packedZeros = groups * out * config.bits() / Byte.SIZE;
        long scales = groups * out * Dtype.FLOAT16.bytes();
        return Optional.of(new WeightBytes(
                codes, scales + groups * out + order, codes + packedZeros + scales + in * Integer.BYTES));
    }

    private static void checkWords(String module, long out, long in, int bits) {
        if (in * bits % 32 != 0 || out * bits % 32 != 0) {
            throw new QloraException(module + ": " + out + " outputs of " + in + " inputs cannot be stored in " + bits
                    + " bits: both must fill whole words of 32 bits");
        }
    }

    /**
     * The tensors that stand for a module's weight in a file, by name; they belong to {@code manager}.
     *
     * @throws QloraException if inputs or outputs do not fill whole words
     */
    public Map<String, NDArray> tensors(NDManager manager, String module, GptqWeight weight) {
        GroupedCodes codes = weight.codes();
        int bits = codes.bits();
        checkWords(module, codes.rows(), codes.cols(), bits);
        try (NDManager temporary = Torch.newManager()) {
            NDArray rows = GroupedCodes.pack(temporary, codes.unpacked(temporary), bits, null);
            NDArray zeros = GroupedOps.transposed(temporary, codes.zeros());
            NDArray packed;
            if (format == GptqFormat.GPTQ && 32 % bits != 0) {
                packed = GroupedCodes.pack(temporary, GroupedOps.plus(temporary, zeros, -1, bits), bits, null);
            } else {
                packed = GroupedCodes.pack(temporary, zeros, bits, null);
                if (format == GptqFormat.GPTQ) {
                    packed = GroupedOps.plusEach(temporary, packed, -1, bits);
                }
            }
            NDArray indices = Torch.empty(manager, Dtype.INT32, codes.cols());
            Torch.bytes(indices, 0, 4L * codes.cols()).asIntBuffer().put(codes.groupOf());
            packed.attach(manager);
            Map<String, NDArray> tensors = new LinkedHashMap<>();
            tensors.put(module + ".g_idx", indices);
            tensors.put(module + ".qweight", GroupedOps.transposed(manager, rows));
            tensors.put(module + ".qzeros", packed);
            tensors.put(module + ".scales", GroupedOps.transposed(manager, codes.scales()));
            return tensors;
        }
    }

    /** {@code quantization_config} of {@code config.json} with the keys of auto-gptq and transformers. */
    public JsonObject quantizationConfig() {
        JsonObject json = new JsonObject();
        json.addProperty("bits", config.bits());
        json.addProperty("checkpoint_format", format.key());
        json.addProperty("damp_percent", config.dampPercent());
        json.addProperty("desc_act", config.descAct());
        json.addProperty("group_size", config.groupSize());
        json.addProperty("quant_method", "gptq");
        json.addProperty("static_groups", config.staticGroups());
        json.addProperty("sym", config.sym());
        json.addProperty("true_sequential", true);
        return json;
    }
}
