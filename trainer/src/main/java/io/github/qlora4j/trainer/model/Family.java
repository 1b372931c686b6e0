package io.github.qlora4j.trainer.model;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;

/**
 * The families of decoders: what the layers of a {@code model_type} are made of.
 *
 * <p>A family is this data and a TorchScript file with the two halves of its block. To add one whose block is Llama's,
 * add a constant here; for another block, write its file beside {@code llama.py} too.
 */
public enum Family {
    /** Llama 1 to 3 and what shares their layout. */
    LLAMA("llama", 2048),
    /** Mistral: Llama with a sliding window. */
    MISTRAL("mistral", 131072),
    /** Qwen2 and Qwen2.5: Llama with biases on query, key and value. */
    QWEN2("qwen2", 32768);

    private static final String ATTENTION = "self_attn.";
    private static final String MLP = "mlp.";

    private final String modelType;
    private final int defaultPositions;

    Family(String modelType, int defaultPositions) {
        this.modelType = modelType;
        this.defaultPositions = defaultPositions;
    }

    /** A linear layer of a block: weight {@code [out, in]}, under the name {@code model.layers.N.NAME}. */
    public record Linear(String name, long out, long in, boolean bias) {}

    /** {@code config.json}'s name of the family. */
    public String modelType() {
        return modelType;
    }

    /** The family of a {@code model_type}, where it is supported. */
    public static Optional<Family> of(String modelType) {
        return Arrays.stream(values())
                .filter(f -> f.modelType.equals(modelType))
                .findFirst();
    }

    static String supported() {
        return Arrays.stream(values()).map(Family::modelType).collect(Collectors.joining(", "));
    }

    int defaultPositions() {
        return defaultPositions;
    }

    /** The TorchScript file with the halves of the block. */
    String script() {
        return "llama.py";
    }

    /** The linear layers of one block, in the order of the model's modules. */
    public List<Linear> linears(ModelConfig c) {
        long q = (long) c.numAttentionHeads() * c.headDim();
        long kv = (long) c.numKeyValueHeads() * c.headDim();
        long h = c.hiddenSize();
        boolean qkv = c.attentionBias();
        // Qwen2 has biases on query, key and value alone
        boolean output = qkv && this != QWEN2;
        List<Linear> linears = new ArrayList<>();
        linears.add(new Linear(ATTENTION + "q_proj", q, h, qkv));
        linears.add(new Linear(ATTENTION + "k_proj", kv, h, qkv));
        linears.add(new Linear(ATTENTION + "v_proj", kv, h, qkv));
        linears.add(new Linear(ATTENTION + "o_proj", h, q, output));
        linears.add(new Linear(MLP + "gate_proj", c.intermediateSize(), h, c.mlpBias()));
        linears.add(new Linear(MLP + "up_proj", c.intermediateSize(), h, c.mlpBias()));
        linears.add(new Linear(MLP + "down_proj", h, c.intermediateSize(), c.mlpBias()));
        return linears;
    }

    /** The linear layer that ends the attention half; those before it in {@link #linears} begin that half. */
    String attentionLast() {
        return ATTENTION + "o_proj";
    }

    /** The norms of one block, each a weight {@code [hidden_size]}. */
    public List<String> norms() {
        return List.of("input_layernorm", "post_attention_layernorm");
    }

    boolean attentionBias(ConfigJson config) {
        return switch (this) {
            case LLAMA -> config.bool("attention_bias", false);
            case MISTRAL -> false;
            case QWEN2 -> true;
        };
    }

    boolean mlpBias(ConfigJson config) {
        return this == LLAMA && config.bool("mlp_bias", false);
    }

    /** {@code num_key_value_heads}; left out, it is the default of the family's configuration in transformers. */
    int keyValueHeads(ConfigJson config, int heads) {
        int leftOut = switch (this) {
            case LLAMA -> heads;
            case MISTRAL -> 8;
            case QWEN2 -> 32;
        };
        return config.integer("num_key_value_heads", 1, leftOut, heads);
    }

    /** The window of layers that slide; 0 where none does. Left out it is 4096, and null is none, as in transformers. */
    int slidingWindow(ConfigJson config) {
        return switch (this) {
            case LLAMA -> 0;
            case MISTRAL -> config.integer("sliding_window", 1, 4096, 0);
            case QWEN2 -> config.bool("use_sliding_window", false) ? config.integer("sliding_window", 1, 4096, 0) : 0;
        };
    }

    /** The first layer that slides, where {@code layer_types} does not say. */
    int firstSlidingLayer(ConfigJson config) {
        return this == QWEN2 ? config.integer("max_window_layers", 0, 28) : 0;
    }
}
