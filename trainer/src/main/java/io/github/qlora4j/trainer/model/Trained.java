package io.github.qlora4j.trainer.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.peft.Adapter;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What is trained on top of a frozen base, sorted by the place where it is used.
 *
 * <p>It borrows the tensors: their owner closes them. Closing it frees only what it made itself, the scalings.
 */
public final class Trained implements AutoCloseable {

    /** {@link Parameter#layer} of a trained head. */
    public static final int HEAD = -1;

    /** {@link Parameter#layer} of trained embeddings. */
    public static final int EMBEDDINGS = -2;

    private static final Pattern BLOCK = Pattern.compile("model\\.layers\\.(\\d+)\\.(.+)");

    /** Matrices of LoRA have values about 1, biases and embeddings a few. */
    private static final double FAR_OUT = 1e6;

    private final NDManager manager = Torch.newManager();
    private final List<Map<String, NDArray>> layers = new ArrayList<>();
    private final List<Map<String, NDArray>> scalings = new ArrayList<>();
    private final List<Parameter> parameters = new ArrayList<>();
    private NDArray head;
    private NDArray embeddings;
    private double dropout;
    private String file = "the adapter";

    /** Nothing trained: the base alone. */
    public Trained(int layerCount) {
        for (int i = 0; i < layerCount; i++) {
            layers.add(new LinkedHashMap<>());
            scalings.add(new LinkedHashMap<>());
        }
    }

    /**
     * Sorts the tensors of an adapter by the place where they are used.
     *
     * @throws QloraException if the adapter has a tensor that no part of the decoder uses
     */
    public static Trained of(ModelConfig config, Adapter adapter) {
        Trained trained = new Trained(config.numHiddenLayers());
        trained.dropout = adapter.config().loraDropout();
        adapter.file().ifPresent(file -> trained.file = file.toString());
        adapter.parameters().forEach((name, tensor) -> {
            String local = name.substring("base_model.model.".length()).replace(".base_layer.", ".");
            Matcher block = BLOCK.matcher(local);
            if (local.equals("lm_head.weight")) {
                trained.head = tensor;
                trained.parameters.add(new Parameter(name, tensor, HEAD, local));
            } else if (local.equals("model.embed_tokens.weight")) {
                trained.embeddings = tensor;
                trained.parameters.add(new Parameter(name, tensor, EMBEDDINGS, local));
            } else if (block.matches()) {
                int layer = Integer.parseInt(block.group(1));
                trained.layers.get(layer).put(block.group(2), tensor);
                trained.parameters.add(new Parameter(name, tensor, layer, block.group(2)));
            } else {
                throw new QloraException("the adapter trains " + local
                        + ", which is not supported: linear layers of blocks are adapted, and lm_head and embed_tokens"
                        + " can be in modules_to_save");
            }
        });
        adapter.modules().forEach((module, weights) -> {
            Matcher block = BLOCK.matcher(module);
            if (block.matches()) {
                trained.scalings
                        .get(Integer.parseInt(block.group(1)))
                        .put(block.group(2) + ".scaling", scalar(trained.manager, weights.scaling()));
            }
        });
        return trained;
    }

    private static NDArray scalar(NDManager manager, double value) {
        NDArray scalar = Torch.empty(manager, Dtype.FLOAT32);
        Torch.bytes(scalar, 0, 4).putFloat(0, (float) value);
        return scalar;
    }

    /**
     * A trained tensor.
     *
     * @param name its name in {@code adapter_model.safetensors}
     * @param layer the block it is used in, or {@link #HEAD} or {@link #EMBEDDINGS}
     * @param key its name within the block
     */
    public record Parameter(String name, NDArray value, int layer, String key) {}

    /** All trained tensors, in the order of gradients and of the optimizer's state. */
    public List<Parameter> parameters() {
        return List.copyOf(parameters);
    }

    /** How many numbers are trained. */
    public long count() {
        return parameters.stream().mapToLong(p -> p.value().getShape().size()).sum();
    }

    /** The first tensor with a value that no training gives, in words; the adapter's file is named where it has one. */
    Optional<String> farOut() {
        for (Parameter parameter : parameters) {
            float[] values = Torch.toFloats(parameter.value());
            double largest = 0;
            for (float value : values) {
                // NaN counts as the largest
                largest = Math.max(largest, Math.abs(value));
            }
            if (!(largest <= FAR_OUT)) {
                return Optional.of(file + ": tensor " + parameter.name() + " has values up to " + (float) largest
                        + "; take another checkpoint, or copy the adapter anew");
            }
        }
        return Optional.empty();
    }

    Map<String, NDArray> layer(int layer) {
        return layers.get(layer);
    }

    Map<String, NDArray> scalings(int layer) {
        return scalings.get(layer);
    }

    Optional<NDArray> head() {
        return Optional.ofNullable(head);
    }

    Optional<NDArray> embeddings() {
        return Optional.ofNullable(embeddings);
    }

    /** Whether the embeddings are trained. */
    public boolean trainsEmbeddings() {
        return embeddings != null;
    }

    double dropout() {
        return dropout;
    }

    /** The lowest block whose backward pass is needed; the number of blocks where none is. */
    public int lowestLayer() {
        if (embeddings != null) {
            return 0;
        }
        int lowest = 0;
        while (lowest < layers.size() && layers.get(lowest).isEmpty()) {
            lowest++;
        }
        return lowest;
    }

    @Override
    public void close() {
        manager.close();
    }
}
