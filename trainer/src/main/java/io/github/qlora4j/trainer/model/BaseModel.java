package io.github.qlora4j.trainer.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.DenseWeight;
import io.github.qlora4j.quant.LinearWeight;
import io.github.qlora4j.quant.Scratch;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.stream.Stream;

/**
 * The frozen weights of a decoder.
 *
 * <p>What is not a linear layer of a block (embeddings, norms, biases, head) has one dtype, the stream's: it is the dtype
 * of the activations between blocks. Linear layers are {@link LinearWeight}s of any scheme. What {@link Placement} puts on
 * the disk is read for each use; norms and biases are in memory always. Closing the model frees all of them.
 *
 * <pre>{@code
 * try (BaseModel base = BaseModel.load(Path.of("models/llama"), BaseOptions.unquantized())) { … }
 * }</pre>
 */
public final class BaseModel implements AutoCloseable {

    static final String EMBEDDINGS = "model.embed_tokens";
    static final String HEAD = "lm_head";

    private final NDManager manager;
    private final Path directory;
    private final ModelConfig config;
    private final BaseOptions options;
    private final Dtype stream;
    private final Placement placement;
    private final DiskParts parts;
    private final DiskRows rows;
    private final NDArray embeddings;
    private final NDArray norm;
    private final NDArray head;
    private final List<Layer> layers;

    /** Takes over all of it; {@code embeddings} and {@code head} are null where {@code parts} has them, {@code rows} where embeddings
     * are in memory. */
    BaseModel(
            NDManager manager,
            Path directory,
            ModelConfig config,
            BaseOptions options,
            Dtype stream,
            Placement placement,
            DiskParts parts,
            DiskRows rows,
            NDArray embeddings,
            NDArray norm,
            NDArray head,
            List<Layer> layers) {
        this.manager = manager;
        this.directory = directory;
        this.config = config;
        this.options = options;
        this.stream = stream;
        this.placement = placement;
        this.parts = parts;
        this.rows = rows;
        this.embeddings = embeddings;
        this.norm = norm;
        this.head = head;
        this.layers = List.copyOf(layers);
    }

    /**
     * One block's weights.
     *
     * @param linears by the name of the module within the layer, {@code self_attn.q_proj}
     * @param tensors norms and biases by their name within the layer, {@code input_layernorm.weight}
     */
    public record Layer(Map<String, LinearWeight> linears, Map<String, NDArray> tensors) {
        /** Takes copies of the maps, in their order. */
        public Layer {
            linears = java.util.Collections.unmodifiableMap(new LinkedHashMap<>(linears));
            tensors = java.util.Collections.unmodifiableMap(new LinkedHashMap<>(tensors));
        }

        /** Whether its linear layers stay in memory, and are not read from the disk for each use. */
        boolean inMemory() {
            return linears.values().stream().noneMatch(DiskWeight.class::isInstance);
        }
    }

    /**
     * A model of tensors that are in memory; the caller has checked their shapes.
     *
     * @param manager owns the tensors, and is closed with the model
     * @param directory what messages name
     * @param stream the dtype of all that is not a linear layer of a block
     */
    public static BaseModel of(
            NDManager manager,
            Path directory,
            ModelConfig config,
            BaseOptions options,
            Dtype stream,
            NDArray embeddings,
            NDArray norm,
            NDArray head,
            List<Layer> layers) {
        return new BaseModel(
                manager,
                directory,
                config,
                options,
                stream,
                Placement.inMemory(config),
                new DiskParts(),
                null,
                embeddings,
                norm,
                head,
                layers);
    }

    /**
     * Reads a model directory, a tensor at a time, quantizing where the options say so.
     *
     * @throws io.github.qlora4j.quant.QloraException if something is missing, damaged or not supported; found from
     *     {@code config.json} and the headers before anything is read
     */
    public static BaseModel load(Path directory, BaseOptions options) {
        return new BaseLoader(directory, options).load();
    }

    /**
     * Checks from the headers that a directory holds the model that its {@code config.json} describes; reads no weight.
     *
     * @throws io.github.qlora4j.quant.QloraException if a tensor is missing, or has another shape or dtype
     */
    public static void check(ModelDirectory files, ModelConfig config) {
        StoredQuantization stored = StoredQuantization.of(files.path(), config, BaseOptions.unquantized());
        ExpectedTensors.check(files, config, stored.scheme());
    }

    /** Where the model was read from. */
    public Path directory() {
        return directory;
    }

    /** What {@code config.json} says. */
    public ModelConfig config() {
        return config;
    }

    /** How the base was read. */
    public BaseOptions options() {
        return options;
    }

    /** The dtype of activations between blocks, and of what is not quantized. */
    public Dtype stream() {
        return stream;
    }

    /** The weights of all linear layers of all blocks. */
    Stream<LinearWeight> weights() {
        return layers.stream().flatMap(layer -> layer.linears().values().stream());
    }

    /** Where the weights lie. */
    public Placement placement() {
        return placement;
    }

    /** The dtype in which a linear layer is multiplied: its own where it is kept dense. */
    Dtype computeOf(LinearWeight weight) {
        if (weight instanceof DiskWeight onDisk) {
            return onDisk.denseDtype().orElse(options.compute());
        }
        return weight instanceof DenseWeight ? stream : options.compute();
    }

    /**
     * {@code model.embed_tokens.weight}, {@code [vocab_size, hidden_size]}; where it lies on the disk, valid until
     * another part of the model is used.
     */
    public NDArray embeddings() {
        return embeddings == null ? table(EMBEDDINGS) : embeddings;
    }

    /** The embeddings of tokens, {@code [tokens, hidden_size]}, where the table lies on the disk; else empty. */
    Optional<NDArray> embeddingsOfTokens(NDManager result, int[] inputIds) {
        return embeddings == null ? Optional.of(parts.read(() -> rows.read(result, inputIds))) : Optional.empty();
    }

    private NDArray table(String part) {
        // it is in the stream's dtype, and needs no scratch
        return parts.take(part).get(part).dense(stream, null);
    }

    /** {@code model.norm.weight}. */
    NDArray norm() {
        return norm;
    }

    /** {@code lm_head.weight}, the embeddings where they are tied; on the disk as {@link #embeddings()}. */
    public NDArray head() {
        return head == null ? table(HEAD) : head;
    }

    /** The blocks, from the embeddings up. */
    public List<Layer> layers() {
        return layers;
    }

    /** Bytes of the weights in memory, as {@code get_memory_footprint} counts them. */
    public long bytes() {
        long bytes = Torch.byteSize(norm) + (embeddings == null ? 0 : Torch.byteSize(embeddings));
        if (head != null && head != embeddings) {
            bytes += Torch.byteSize(head);
        }
        for (Layer layer : layers) {
            bytes += layer.linears().values().stream()
                    .mapToLong(LinearWeight::bytes)
                    .sum();
            bytes +=
                    layer.tensors().values().stream().mapToLong(Torch::byteSize).sum();
        }
        return bytes;
    }

    /** The first tensor that holds NaN or infinity, in words; all weights are gone through, so this is for errors. */
    Optional<String> notFinite() {
        Map<String, Supplier<NDArray>> tensors = new LinkedHashMap<>();
        tensors.put("model.embed_tokens.weight", this::embeddings);
        for (int i = 0; i < layers.size(); i++) {
            String prefix = "model.layers." + i + ".";
            layers.get(i).linears().forEach((name, weight) -> {
                // what is quantized was refused where it was not finite
                if (weight instanceof DenseWeight
                        || weight instanceof DiskWeight onDisk
                                && onDisk.denseDtype().isPresent()) {
                    tensors.put(prefix + name + ".weight", () -> weight.dense(computeOf(weight), new Scratch()));
                }
            });
            layers.get(i).tensors().forEach((name, tensor) -> tensors.put(prefix + name, () -> tensor));
        }
        tensors.put("model.norm.weight", () -> norm);
        tensors.put("lm_head.weight", this::head);
        return tensors.entrySet().stream()
                .filter(tensor -> !Torch.isFinite(tensor.getValue().get()))
                .findFirst()
                .map(tensor -> directory + ": tensor " + tensor.getKey() + " holds NaN or infinity"
                        + (stream == Dtype.FLOAT16 ? " in float16; try bfloat16" : "; copy the model's files anew"));
    }

    @Override
    public void close() {
        layers.forEach(layer -> layer.linears().values().forEach(LinearWeight::close));
        parts.close();
        manager.close();
    }
}
