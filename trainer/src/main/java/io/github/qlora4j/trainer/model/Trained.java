package io.github.qlora4j.trainer.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.torch.Torch;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * What is trained on top of a frozen base, sorted by the place where it is used.
 *
 * <p>It borrows the tensors: their owner closes them. Closing it frees only what it made itself, the scalings.
 */
public final class Trained implements AutoCloseable {

    /** {@link Parameter#layer} of what is trained outside of blocks. */
    static final int HEAD = -1;

    static final int EMBEDDINGS = -2;

    private final NDManager manager = Torch.newManager();
    private final List<Map<String, NDArray>> layers = new ArrayList<>();
    private final List<Map<String, NDArray>> scalings = new ArrayList<>();
    private final List<Parameter> parameters = new ArrayList<>();
    private NDArray head;
    private NDArray embeddings;
    private double dropout;

    /** Nothing trained: the base alone. */
    public Trained(int layerCount) {
        for (int i = 0; i < layerCount; i++) {
            layers.add(new LinkedHashMap<>());
            scalings.add(new LinkedHashMap<>());
        }
    }

    /**
     * A trained tensor.
     *
     * @param name its name in {@code adapter_model.safetensors}
     * @param layer the block it is used in, or {@link #HEAD} or {@link #EMBEDDINGS}
     * @param key its name within the block
     */
    public record Parameter(String name, NDArray value, int layer, String key) {}

    /** Adds A {@code [r, in]} and B {@code [out, r]} of a linear layer of a block. */
    void lora(int layer, String linear, String name, NDArray a, NDArray b, double scaling) {
        scalings.get(layer)
                .put(
                        linear + ".scaling",
                        Torch.ofFloats(manager, new float[] {(float) scaling}).squeeze());
        add(layer, linear + ".lora_A.weight", name + ".lora_A.weight", a);
        add(layer, linear + ".lora_B.weight", name + ".lora_B.weight", b);
    }

    /** Adds the bias of a linear layer of a block. */
    void bias(int layer, String linear, String name, NDArray bias) {
        add(layer, linear + ".bias", name, bias);
    }

    /** Replaces the head's weight by a trained one. */
    void head(String name, NDArray weight) {
        head = weight;
        parameters.add(new Parameter(name, weight, HEAD, ""));
    }

    /** Replaces the embeddings by trained ones. */
    void embeddings(String name, NDArray weight) {
        embeddings = weight;
        parameters.add(new Parameter(name, weight, EMBEDDINGS, ""));
    }

    void dropout(double p) {
        dropout = p;
    }

    private void add(int layer, String key, String name, NDArray value) {
        layers.get(layer).put(key, value);
        parameters.add(new Parameter(name, value, layer, key));
    }

    /** All trained tensors, in the order of gradients and of the optimizer's state. */
    public List<Parameter> parameters() {
        return List.copyOf(parameters);
    }

    /** How many numbers are trained. */
    public long count() {
        return parameters.stream().mapToLong(p -> p.value().getShape().size()).sum();
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

    double dropout() {
        return dropout;
    }

    /** The lowest block whose backward pass is needed; the number of blocks where none is. */
    int lowestLayer() {
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
