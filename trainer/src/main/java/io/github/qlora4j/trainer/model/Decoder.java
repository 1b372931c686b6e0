package io.github.qlora4j.trainer.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.LinearWeight;
import io.github.qlora4j.quant.Scratch;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.quant.torch.TorchScript;
import io.github.qlora4j.trainer.data.PackedRows;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.function.BiFunction;

/**
 * Runs a base with what is trained on it: a block at a time, forward and backward.
 *
 * <p>4-bit weights of one block at a time stand worked out in scratch. Tensors that a method makes belong to the manager
 * given. For one thread at a time. Closing it frees the scratch, neither the base nor what is trained.
 */
public final class Decoder implements AutoCloseable {

    /** Positions whose logits stand in memory at once. */
    static final int HEAD_CHUNK = 256;

    /** The product of int8 weights, beside their class in module quant. */
    private static final String INT8 = "/io/github/qlora4j/quant/int8.py";

    private static final Map<String, TorchScript> SCRIPTS = new HashMap<>();

    private final BaseModel base;
    private final Trained trained;
    private final TorchScript script;
    private final Rope rope;
    private final Map<String, Scratch> scratch = new HashMap<>();
    private final long[] shape;
    private final double scale;

    /** Borrows both: their owners close them. */
    public Decoder(BaseModel base, Trained trained) {
        this.base = base;
        this.trained = trained;
        ModelConfig config = base.config();
        this.script = script(config.family().script());
        this.rope = new Rope(config);
        this.shape = new long[] {config.numAttentionHeads(), config.numKeyValueHeads(), config.headDim()};
        this.scale = 1 / Math.sqrt(config.headDim());
    }

    private static TorchScript script(String family) {
        synchronized (SCRIPTS) {
            return SCRIPTS.computeIfAbsent(
                    family,
                    f -> TorchScript.load(Decoder.class, INT8, "linear.py", "attention.py", f, "block.py", "head.py"));
        }
    }

    /**
     * Rows on their way through the blocks.
     *
     * @param layout how many rows of how many places are attended together, group after group
     * @param padded the token at each place of the groups; empty where the tokens lie so by themselves
     * @param places the place of each token; empty likewise
     * @param angles the tokens' angles
     */
    public record Rows(long[] layout, NDArray padded, NDArray places, Rope.Angles angles) {}

    TorchScript script() {
        return script;
    }

    Rope rope() {
        return rope;
    }

    /** Heads, key heads, and the width of a head. */
    long[] shape() {
        return shape;
    }

    /** What scores are multiplied by. */
    double scale() {
        return scale;
    }

    /** The frozen base. */
    public BaseModel base() {
        return base;
    }

    /** Why a result may not be finite: what in the weights is not, or is far out. They are gone through for it. */
    public String whyNotFinite() {
        return base.notFinite()
                .or(trained::farOut)
                .orElseGet(() -> "the weights of " + base.directory() + " are finite, what is computed from them in "
                        + base.stream().torchName()
                        + " is not; try float32, and see that config.json is the model's own");
    }

    /** What is trained on it. */
    public Trained trained() {
        return trained;
    }

    /** Prepares the rows of a batch. */
    public Rows rows(NDManager manager, PackedRows packed) {
        AttentionGroups groups = AttentionGroups.of(packed.rowStarts());
        return new Rows(
                groups.layout(),
                Torch.ofInts(manager, groups.padded(), groups.padded().length),
                Torch.ofInts(manager, groups.places(), groups.places().length),
                rope.ofRows(manager, packed.positions(), packed.rowStarts(), base.stream()));
    }

    /** The tokens' embeddings, {@code [tokens, hidden_size]}. */
    public NDArray embed(NDManager manager, int[] inputIds) {
        if (trained.embeddings().isEmpty()) {
            Optional<NDArray> read = base.embeddingsOfTokens(manager, inputIds);
            if (read.isPresent()) {
                return read.get();
            }
        }
        try (NDArray ids = Torch.ofInts(manager, inputIds, inputIds.length)) {
            return script.tensor(
                    manager, "embed", embeddings(), ids, base.stream().code());
        }
    }

    /** The gradient of trained embeddings, float32, from that of the tokens' embeddings. */
    public NDArray embedBackward(NDManager manager, NDArray gradient, int[] inputIds) {
        try (NDArray ids = Torch.ofInts(manager, inputIds, inputIds.length)) {
            return script.tensor(
                    manager, "embed_backward", gradient, ids, base.config().vocabSize());
        }
    }

    /**
     * A block forward: its result, then what its backward pass needs.
     *
     * @param keepParts keep the results of linear layers too, so that no product is made again
     * @param seed draws the dropout masks
     */
    public NDList forward(NDManager manager, int layer, NDArray x, Rows rows, boolean keepParts, long seed) {
        return forward(manager, layer, frozen(layer), x, rows, trained.dropout(), layerSeed(seed, layer), keepParts);
    }

    private NDList forward(
            NDManager manager,
            int layer,
            Map<String, NDArray> frozen,
            NDArray x,
            Rows rows,
            double dropout,
            long seed,
            boolean keepParts) {
        return script.tensors(
                manager,
                "block_forward",
                x,
                frozen,
                trained.layer(layer),
                rows.angles().cos(),
                rows.angles().sin(),
                rows.layout(),
                rows.padded(),
                rows.places(),
                shape,
                window(layer),
                base.config().rmsNormEps(),
                scale,
                dropout,
                seed,
                keepParts);
    }

    /**
     * A block backward: the gradient of its input (empty below the lowest trained block), then those of its trained
     * tensors in their order.
     *
     * @param kept what {@link #forward} left behind its result
     */
    public NDList backward(NDManager manager, int layer, NDArray gradient, NDList kept, Rows rows, long seed) {
        boolean wantsInput =
                layer > trained.lowestLayer() || trained.embeddings().isPresent();
        return script.tensors(
                manager,
                "block_backward",
                gradient,
                kept,
                frozen(layer),
                trained.layer(layer),
                rows.angles().cos(),
                rows.angles().sin(),
                rows.layout(),
                rows.padded(),
                rows.places(),
                shape,
                window(layer),
                base.config().rmsNormEps(),
                scale,
                trained.dropout(),
                layerSeed(seed, layer),
                wantsInput);
    }

    /**
     * The loss of learned positions, and its gradients.
     *
     * @param x the last block's result
     * @param factor what the summed loss and its gradients are multiplied by
     * @param gradients whether they are wanted
     * @return the loss (float64, a scalar), the gradient of {@code x}, and that of the head where it is trained
     */
    public NDList loss(NDManager manager, NDArray x, PackedRows packed, double factor, boolean gradients) {
        try (NDArray at = Torch.ofInts(manager, packed.learnedPositions(), packed.learned());
                NDArray targets = Torch.ofInts(manager, packed.learnedTargets(), packed.learned())) {
            return script.tensors(
                    manager,
                    "loss",
                    x,
                    at,
                    targets,
                    base.norm(),
                    base.config().rmsNormEps(),
                    headWeight(),
                    HEAD_CHUNK,
                    factor,
                    gradients,
                    gradients && trained.head().isPresent());
        }
    }

    /** ln p of the learned targets, float32 {@code [learned]}. */
    public NDArray logProbabilities(NDManager manager, NDArray x, PackedRows packed) {
        try (NDArray at = Torch.ofInts(manager, packed.learnedPositions(), packed.learned());
                NDArray targets = Torch.ofInts(manager, packed.learnedTargets(), packed.learned())) {
            return script.tensor(
                    manager,
                    "log_probabilities",
                    x,
                    at,
                    targets,
                    base.norm(),
                    base.config().rmsNormEps(),
                    headWeight(),
                    HEAD_CHUNK);
        }
    }

    /** Rows through all blocks with nothing kept for a backward pass. */
    public NDArray encode(NDManager manager, PackedRows packed) {
        try (NDManager pass = manager.newSubManager()) {
            Rows rows = rows(pass, packed);
            NDArray x = embed(pass, packed.inputIds());
            for (int layer = 0; layer < base.layers().size(); layer++) {
                NDList result = forward(pass, layer, operands(layer, scratch), x, rows, 0.0, 0, false);
                x.close();
                x = result.get(0);
                result.subList(1, result.size()).forEach(NDArray::close);
            }
            x.attach(manager);
            return x;
        }
    }

    NDArray embeddings() {
        return trained.embeddings().orElseGet(base::embeddings);
    }

    NDArray headWeight() {
        return trained.head().orElseGet(base::head);
    }

    long window(int layer) {
        return base.config().slidingWindows().get(layer);
    }

    /** The frozen tensors of a block for a pass with a backward pass: all weights worked out in scratch. */
    private Map<String, NDArray> frozen(int layer) {
        return tensors(layer, scratch, (weight, room) -> Map.of("weight", weight.dense(base.computeOf(weight), room)));
    }

    /**
     * The frozen tensors of a block for a pass without one: weights with a product of their own are not worked out.
     *
     * @param scratch where the others are; the caller closes it
     */
    Map<String, NDArray> operands(int layer, Map<String, Scratch> scratch) {
        return tensors(layer, scratch, (weight, room) -> weight.operands(base.computeOf(weight), room));
    }

    private Map<String, NDArray> tensors(
            int layer, Map<String, Scratch> scratch, BiFunction<LinearWeight, Scratch, Map<String, NDArray>> parts) {
        Map<String, NDArray> tensors = besideLinears(layer);
        base.layers()
                .get(layer)
                .linears()
                .forEach((name, weight) -> parts.apply(weight, scratch.computeIfAbsent(name, k -> new Scratch()))
                        .forEach((part, tensor) -> tensors.put(name + "." + part, tensor)));
        return tensors;
    }

    /** What a block has beside the weights of its linear layers. */
    Map<String, NDArray> besideLinears(int layer) {
        Map<String, NDArray> tensors =
                new LinkedHashMap<>(base.layers().get(layer).tensors());
        tensors.putAll(trained.scalings(layer));
        return tensors;
    }

    private static long layerSeed(long seed, int layer) {
        // seven linear layers of a block draw from consecutive seeds
        return (seed * 1_000_003L + layer * 16L) & Long.MAX_VALUE;
    }

    @Override
    public void close() {
        scratch.values().forEach(Scratch::close);
        scratch.clear();
        rope.close();
    }
}
