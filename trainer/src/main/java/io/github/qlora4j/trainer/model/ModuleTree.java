package io.github.qlora4j.trainer.model;

import io.github.qlora4j.quant.torch.Dtype;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/**
 * The modules of a decoder as transformers nests them, with what their tensors take.
 *
 * @param name the full name, {@code model.layers.0.mlp}; "" is the model
 * @param children in the model's order; empty where the module has tensors of its own
 * @param bytes of all tensors in it, a tied one where it is counted first
 * @param whole it is never divided among devices: a decoder block
 * @param tensor the name of the tensor that other modules may share; empty where there is none
 */
record ModuleTree(String name, List<ModuleTree> children, double bytes, boolean whole, String tensor) {

    /** What a linear layer of a block takes; a half byte a weight is not a whole number for odd matrices. */
    interface LinearBytes {
        double of(String module, Family.Linear linear);
    }

    /**
     * The tree of a model.
     *
     * @param linears what the matrices of linear layers take, without biases
     * @param rest the dtype of everything else
     */
    static ModuleTree of(ModelConfig config, LinearBytes linears, Dtype rest) {
        double table = (double) config.vocabSize() * config.hiddenSize() * rest.bytes();
        double norm = (double) config.hiddenSize() * rest.bytes();
        List<ModuleTree> blocks = new ArrayList<>();
        for (int i = 0; i < config.numHiddenLayers(); i++) {
            blocks.add(block(config, "model.layers." + i, linears, rest));
        }
        // inv_freq and original_inv_freq, float32 always
        double frequencies = config.headDim() / 2 * 2.0 * Float.BYTES;
        ModuleTree model = parent(
                "model",
                List.of(
                        new ModuleTree("model.embed_tokens", List.of(), table, false, "model.embed_tokens.weight"),
                        parent("model.layers", blocks, false),
                        leaf("model.norm", norm),
                        leaf("model.rotary_emb", frequencies)),
                false);
        double head = config.tieWordEmbeddings() ? 0 : table;
        return parent("", List.of(model, new ModuleTree("lm_head", List.of(), head, false, "lm_head.weight")), false);
    }

    private static ModuleTree block(ModelConfig config, String name, LinearBytes linears, Dtype rest) {
        List<ModuleTree> halves = new ArrayList<>();
        for (String half : List.of("self_attn", "mlp")) {
            List<ModuleTree> layers = new ArrayList<>();
            for (Family.Linear linear : config.family().linears(config)) {
                if (linear.name().startsWith(half + ".")) {
                    String full = name + "." + linear.name();
                    double bias = linear.bias() ? (double) linear.out() * rest.bytes() : 0;
                    layers.add(leaf(full, linears.of(full, linear) + bias));
                }
            }
            halves.add(parent(name + "." + half, layers, false));
        }
        for (String norm : config.family().norms()) {
            halves.add(leaf(name + "." + norm, (double) config.hiddenSize() * rest.bytes()));
        }
        return parent(name, halves, true);
    }

    private static ModuleTree leaf(String name, double bytes) {
        return new ModuleTree(name, List.of(), bytes, false, "");
    }

    private static ModuleTree parent(String name, List<ModuleTree> children, boolean whole) {
        double bytes = children.stream().mapToDouble(ModuleTree::bytes).sum();
        return new ModuleTree(name, List.copyOf(children), bytes, whole, "");
    }

    /** Whether accelerate gives it to one device. */
    boolean isLayer() {
        return children.isEmpty() || whole;
    }

    /** It and all modules below, a parent before its children. */
    Stream<ModuleTree> all() {
        return Stream.concat(Stream.of(this), children.stream().flatMap(ModuleTree::all));
    }

    /** Whether a tensor or module of this name is in it. */
    boolean holds(String other) {
        return name.isEmpty() || other.equals(name) || other.startsWith(name + ".");
    }
}
