package io.github.qlora4j.peft;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.AtomicFile;
import io.github.qlora4j.quant.internal.NewDirectory;
import io.github.qlora4j.quant.internal.Reason;
import io.github.qlora4j.quant.internal.StrictJson;
import io.github.qlora4j.quant.safetensors.ShardedSafetensorsWriter;
import io.github.qlora4j.quant.safetensors.TensorSpec;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Writes a whole model directory: a base with an adapter merged into it.
 *
 * <p>The base is streamed a tensor at a time. The directory is built beside its place and moved there when it is whole.
 *
 * <pre>{@code
 * try (ModelDirectory base = ModelDirectory.open(baseDir);
 *         Adapter adapter = Adapter.load(manager, adapterDir, modules, "llama", null)) {
 *     new MergedModel(baseDir, BaseTensors.of(base), adapter, Dtype.BFLOAT16, null).write(outDir);
 * }
 * }</pre>
 */
public final class MergedModel {

    /** Puts a weight through the quantization that the adapter was trained on. */
    @FunctionalInterface
    public interface RoundTrip {
        /**
         * Quantizes and dequantizes.
         *
         * @param manager owns the result
         * @param name the tensor's name
         * @param weight {@code [out, in]}, in the stored dtype
         * @return the weight as training saw it
         */
        NDArray apply(NDManager manager, String name, NDArray weight);

        /** Whether the output head went through it too, which it does not by default. */
        default boolean takesHead() {
            return false;
        }
    }

    private static final String HEAD = "lm_head.weight";
    private static final List<String> NOT_QUANTIZED = List.of(
            "embed_tokens", "lm_head", "wte", "wpe", "word_embeddings", "embed_positions", "shared", "embed_out");

    private final Path baseDir;
    private final BaseTensors base;
    private final Adapter adapter;
    private final Dtype dtype;
    private final RoundTrip roundTrip;
    private final JsonObject config;
    private final Map<String, TensorSpec> inBase = new LinkedHashMap<>();
    private final String embedding;
    private final boolean tied;

    /**
     * Plans a merge.
     *
     * @param baseDir where config.json, tokenizer and the other small files are copied from
     * @param base the base's tensors
     * @param adapter the adapter, not closed here
     * @param dtype the dtype of every floating-point tensor written
     * @param roundTrip what each linear weight goes through before the adapter is added: for a base that was trained on
     *     in 4 or 8 bits; null for none
     * @throws QloraException if the adapter has a module that the base lacks, or config.json is missing
     */
    public MergedModel(Path baseDir, BaseTensors base, Adapter adapter, Dtype dtype, RoundTrip roundTrip) {
        this.baseDir = baseDir;
        this.base = base;
        this.adapter = adapter;
        this.dtype = dtype;
        this.roundTrip = roundTrip;
        if (!dtype.isFloating()) {
            throw new QloraException("A merged model cannot be " + dtype.torchName() + ". Use bfloat16 or float32.");
        }
        this.config = StrictJson.readObject(baseDir.resolve("config.json"));
        base.specs().forEach(spec -> inBase.put(spec.name(), spec));
        this.embedding = inBase.keySet().stream()
                .filter(name -> name.endsWith("embed_tokens.weight"))
                .findFirst()
                .orElse(null);
        JsonElement tie = config.get("tie_word_embeddings");
        boolean saysTied = tie != null && tie.isJsonPrimitive() && tie.getAsBoolean();
        this.tied = embedding != null && (saysTied || !inBase.containsKey(HEAD));
        checkAdapterFits();
    }

    private void checkAdapterFits() {
        for (LoraWeights lora : adapter.modules().values()) {
            String name = lora.module() + ".weight";
            if (!inBase.containsKey(name) && !(name.equals(HEAD) && tied)) {
                throw new QloraException("The adapter has module " + lora.module() + ", the base " + baseDir
                        + " has no tensor " + name + ". Merge onto the model that the adapter was trained on.");
            }
            checkFits(
                    name, isStoredTransposed() ? List.of(lora.cols(), lora.rows()) : List.of(lora.rows(), lora.cols()));
        }
        for (String name : adapter.whole().keySet()) {
            if (!inBase.containsKey(name) && !(name.equals(HEAD) && tied)) {
                throw new QloraException("The adapter trained the tensor " + name + ", the base " + baseDir
                        + " does not have it. Merge onto the model that the adapter was trained on.");
            }
            checkFits(
                    name,
                    Arrays.stream(Torch.shape(adapter.whole().get(name)))
                            .boxed()
                            .toList());
        }
    }

    private void checkFits(String name, List<Long> shape) {
        TensorSpec spec = inBase.get(name.equals(HEAD) && tied ? embedding : name);
        if (!Arrays.stream(spec.shape()).boxed().toList().equals(shape)
                || !spec.dtype().isFloating()) {
            throw new QloraException(
                    "The adapter needs " + name + " as a floating-point tensor " + shape + ", in the base "
                            + baseDir + " it is " + spec.dtype().torchName() + " " + Arrays.toString(spec.shape())
                            + ". Merge onto the model that the adapter was trained on.");
        }
    }

    /** Whether the output head gets a matrix of its own because it, or the embedding it was tied to, was trained. */
    boolean unties() {
        return tied
                && (adapter.whole().containsKey(HEAD)
                        || adapter.get("lm_head") != null
                        || adapter.whole().containsKey(embedding));
    }

    /**
     * Writes the model.
     *
     * @param outDir must not exist, or be empty
     * @throws QloraException if it is not empty, the disk has no room, or a merged weight is not finite
     */
    public void write(Path outDir) {
        try (NewDirectory directory = NewDirectory.begin(outDir, 0)) {
            writeTensors(directory.path());
            directory.copyOthers(baseDir);
            writeConfig(directory.path().resolve("config.json"));
            directory.finish();
        } catch (IOException e) {
            throw new QloraException(
                    "Cannot write " + outDir + ": " + Reason.of(e) + ". Check free space and permissions.", e);
        }
    }

    /** For weights that are no longer quantized, in their dtype. */
    private void writeConfig(Path file) {
        JsonObject merged = config.deepCopy();
        merged.remove("quantization_config");
        if (merged.has("torch_dtype")) {
            merged.addProperty("torch_dtype", dtype.torchName());
        }
        if (merged.has("dtype") || !merged.has("torch_dtype")) {
            merged.addProperty("dtype", dtype.torchName());
        }
        if (unties()) {
            merged.addProperty("tie_word_embeddings", false);
        }
        String text =
                new GsonBuilder()
                                .setPrettyPrinting()
                                .serializeNulls()
                                .disableHtmlEscaping()
                                .create()
                                .toJson(merged) + "\n";
        AtomicFile.writeText(file, text);
    }

    private void writeTensors(Path directory) {
        Map<String, TensorSpec> specs = new LinkedHashMap<>();
        inBase.forEach((name, spec) -> specs.put(name, written(spec)));
        if (tied && !unties()) {
            specs.remove(HEAD); // a second copy of the embedding
        } else if (unties()) {
            specs.put(HEAD, new TensorSpec(HEAD, dtype, inBase.get(embedding).shape()));
        }
        try (ShardedSafetensorsWriter writer = ShardedSafetensorsWriter.create(
                directory,
                Map.of("format", "pt"),
                List.copyOf(specs.values()),
                ShardedSafetensorsWriter.DEFAULT_SHARD_BYTES)) {
            for (TensorSpec spec : specs.values()) {
                try (NDManager manager = Torch.newManager()) {
                    writer.write(spec.name(), tensor(manager, spec.name()));
                }
            }
            writer.finish();
        }
    }

    private TensorSpec written(TensorSpec spec) {
        return spec.dtype().isFloating() ? new TensorSpec(spec.name(), dtype, spec.shape()) : spec;
    }

    private NDArray tensor(NDManager manager, String name) {
        NDArray trained = adapter.whole().get(name);
        LoraWeights lora =
                name.endsWith(".weight") ? adapter.get(name.substring(0, name.length() - ".weight".length())) : null;
        NDArray weight = trained != null ? trained : base.read(manager, name.equals(HEAD) && tied ? embedding : name);
        if (roundTrip != null && trained == null && isQuantized(name, weight)) {
            try {
                weight = roundTrip.apply(manager, name, weight);
            } catch (QloraException e) {
                throw new QloraException(baseDir + ": tensor " + name + ": " + e.getMessage(), e);
            }
        }
        if (lora != null) {
            return Merge.merge(manager, weight, lora, dtype, isStoredTransposed());
        }
        return Torch.dtype(weight).isFloating() ? Torch.cast(manager, weight, dtype) : weight;
    }

    /** What {@code load_in_4bit} of transformers quantizes: linear weights, the output head and embeddings left out. */
    private boolean isQuantized(String name, NDArray weight) {
        if (!name.endsWith(".weight")) {
            return false;
        }
        if (name.equals(HEAD) && !tied && roundTrip.takesHead()) {
            return true;
        }
        String module = name.substring(0, name.length() - ".weight".length());
        String last = module.substring(module.lastIndexOf('.') + 1);
        return weight.getShape().dimension() == 2 && Torch.dtype(weight).isFloating() && !NOT_QUANTIZED.contains(last);
    }

    /** GPT-2's Conv1D stores {@code [in, out]}; for every other model peft resets fan_in_fan_out to false. */
    private boolean isStoredTransposed() {
        JsonElement type = config.get("model_type");
        return adapter.config().fanInFanOut()
                && type != null
                && List.of("gpt2", "openai-gpt").contains(type.getAsString());
    }
}
