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
import java.util.stream.Stream;

/**
 * The frozen weights of a decoder.
 *
 * <p>What is not a linear layer of a block (embeddings, norms, biases, head) has one dtype, the stream's: it is the dtype
 * of the activations between blocks. Linear layers are {@link LinearWeight}s of any scheme. Closing the model frees all
 * of them.
 *
 * <pre>{@code
 * try (BaseModel base = BaseModel.load(Path.of("models/llama"), BaseOptions.unquantized())) { … }
 * }</pre>
 */
public final class BaseModel implements AutoCloseable {

    private final NDManager manager;
    private final Path directory;
    private final ModelConfig config;
    private final BaseOptions options;
    private final Dtype stream;
    private final NDArray embeddings;
    private final NDArray norm;
    private final NDArray head;
    private final List<Layer> layers;

    BaseModel(
            NDManager manager,
            Path directory,
            ModelConfig config,
            BaseOptions options,
            Dtype stream,
            NDArray embeddings,
            NDArray norm,
            NDArray head,
            List<Layer> layers) {
        this.manager = manager;
        this.directory = directory;
        this.config = config;
        this.options = options;
        this.stream = stream;
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
        BaseLoader.check(files, config, stored.scheme());
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

    /** The dtype in which a linear layer is multiplied: its own where it is kept dense. */
    Dtype computeOf(LinearWeight weight) {
        return weight instanceof DenseWeight ? stream : options.compute();
    }

    /** {@code model.embed_tokens.weight}, {@code [vocab_size, hidden_size]}. */
    public NDArray embeddings() {
        return embeddings;
    }

    /** {@code model.norm.weight}. */
    NDArray norm() {
        return norm;
    }

    /** {@code lm_head.weight}; the embeddings where they are tied. */
    public NDArray head() {
        return head;
    }

    /** The blocks, from the embeddings up. */
    public List<Layer> layers() {
        return layers;
    }

    /** Bytes of all weights, as {@code get_memory_footprint} counts them. */
    public long bytes() {
        long bytes = Torch.byteSize(embeddings) + Torch.byteSize(norm);
        if (!config.tieWordEmbeddings()) {
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
        Map<String, NDArray> tensors = new LinkedHashMap<>();
        tensors.put("model.embed_tokens.weight", embeddings);
        for (int i = 0; i < layers.size(); i++) {
            String prefix = "model.layers." + i + ".";
            layers.get(i).linears().forEach((name, weight) -> {
                // what is quantized was refused where it was not finite
                if (weight instanceof DenseWeight) {
                    tensors.put(prefix + name + ".weight", weight.dense(stream, new Scratch()));
                }
            });
            layers.get(i).tensors().forEach((name, tensor) -> tensors.put(prefix + name, tensor));
        }
        tensors.put("model.norm.weight", norm);
        tensors.put("lm_head.weight", head);
        return tensors.entrySet().stream()
                .filter(tensor -> !Torch.isFinite(tensor.getValue()))
                .findFirst()
                .map(tensor -> directory + ": tensor " + tensor.getKey() + " holds NaN or infinity"
                        + (stream == Dtype.FLOAT16 ? " in float16; try bfloat16" : "; copy the model's files anew"));
    }

    @Override
    public void close() {
        layers.forEach(layer -> layer.linears().values().forEach(LinearWeight::close));
        manager.close();
    }
}
