package io.github.qlora4j.trainer.train;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.quant.torch.TorchScript;
import io.github.qlora4j.trainer.data.Batch;
import io.github.qlora4j.trainer.data.PackedRows;
import io.github.qlora4j.trainer.model.Decoder;
import io.github.qlora4j.trainer.model.Recomputation;
import io.github.qlora4j.trainer.model.Trained;
import io.github.qlora4j.trainer.optim.Clipping;
import io.github.qlora4j.trainer.optim.NonFiniteGradientException;
import io.github.qlora4j.trainer.optim.Optimizer;
import io.github.qlora4j.trainer.optim.Parameter;
import java.util.ArrayList;
import java.util.List;

/**
 * One optimizer step: rows forward, loss, backward, over all accumulated batches; then clipping and the update.
 *
 * <p>The loss is the sum over learned tokens divided by the learned tokens of the whole step, so that eight batches of
 * one row give what one batch of eight rows does. Gradients are summed in float32. What a step allocates is freed when it
 * ends. It borrows what it is made of; closing it frees the gradients' sums.
 */
public final class TrainingStep implements AutoCloseable {

    private static final TorchScript SCRIPT = TorchScript.load(TrainingStep.class, "step.py");

    private final NDManager manager = Torch.newManager();
    private final Decoder decoder;
    private final List<Trained.Parameter> parameters;
    private final Optimizer optimizer;
    private final Clipping clipping;
    private final Recomputation recomputation;
    private final long seed;
    private final List<NDArray> gradients = new ArrayList<>();

    /**
     * Prepares steps.
     *
     * @param optimizer over the decoder's trained tensors, in their order
     * @param seed of dropout's masks
     */
    public TrainingStep(
            Decoder decoder, Optimizer optimizer, Clipping clipping, Recomputation recomputation, long seed) {
        this.decoder = decoder;
        this.parameters = decoder.trained().parameters();
        this.optimizer = optimizer;
        this.clipping = clipping;
        this.recomputation = recomputation;
        this.seed = seed;
        for (Trained.Parameter parameter : parameters) {
            gradients.add(Torch.zeros(manager, Dtype.FLOAT32, Torch.shape(parameter.value())));
        }
    }

    /**
     * What a step gave.
     *
     * @param loss mean over the step's learned tokens
     * @param gradNorm global norm before clipping
     */
    public record Result(double loss, double gradNorm, long tokens, long learnedTokens) {}

    /**
     * Makes one step.
     *
     * @param number of the step, for messages and for drawing dropout's masks
     * @throws NonFiniteLossException if the loss or a gradient is NaN or infinite; nothing is then updated
     */
    public Result run(long number, List<Batch> batches, double learningRate) {
        long learned = batches.stream().mapToLong(Batch::learned).sum();
        if (learned == 0) {
            throw new IllegalArgumentException("a step needs a token to learn: step=" + number);
        }
        SCRIPT.run("clear", gradients);
        double loss = 0;
        for (int i = 0; i < batches.size(); i++) {
            loss += forwardAndBackward(number, batches.get(i), 1.0 / learned, seed + number * 8191 + i);
        }
        double gradNorm;
        try {
            List<Parameter> named = optimizer.parameters();
            gradNorm = clipping.apply(named, gradients);
        } catch (NonFiniteGradientException e) {
            throw new NonFiniteLossException(
                    number, batches, "the gradient of " + e.parameter(), decoder.whyNotFinite(), e);
        }
        optimizer.step(gradients, learningRate);
        long tokens = batches.stream().mapToLong(Batch::tokens).sum();
        return new Result(loss, gradNorm, tokens, learned);
    }

    /** Adds the gradients of one batch to the sums; returns its share of the loss. */
    double forwardAndBackward(long number, Batch batch, double factor, long dropoutSeed) {
        try (NDManager pass = manager.newSubManager()) {
            PackedRows packed = batch.packed();
            Decoder.Rows rows = decoder.rows(pass, packed);
            int blocks = decoder.base().layers().size();
            int recomputed = blocks - keptBlocks(packed.tokens());

            // forward: each block leaves what its backward pass needs
            NDArray x = decoder.embed(pass, packed.inputIds());
            List<NDList> kept = new ArrayList<>();
            for (int layer = 0; layer < blocks; layer++) {
                NDList result = decoder.forward(pass, layer, x, rows, layer >= recomputed, dropoutSeed);
                x.close();
                x = result.get(0);
                kept.add(new NDList(result.subList(1, result.size())));
            }

            // the head: loss and its gradient at once, in chunks of learned positions
            NDList head = decoder.loss(pass, x, packed, factor, true);
            double loss = head.get(0).getDouble();
            if (!Double.isFinite(loss)) {
                throw new NonFiniteLossException(number, List.of(batch), where(kept, x), decoder.whyNotFinite(), null);
            }
            x.close();
            NDArray gradient = head.get(1);
            add(pass, Trained.HEAD, new NDList(head.get(2)));

            // backward: from the last block down to the lowest that trains something
            for (int layer = blocks - 1; layer >= decoder.trained().lowestLayer(); layer--) {
                NDList left = kept.get(layer);
                NDList result = decoder.backward(pass, layer, gradient, left, rows, dropoutSeed);
                left.close();
                gradient.close();
                gradient = result.get(0);
                NDList own = new NDList(result.subList(1, result.size()));
                add(pass, layer, own);
                own.close();
            }
            if (decoder.trained().trainsEmbeddings()) {
                NDArray table = decoder.embedBackward(pass, gradient, packed.inputIds());
                add(pass, Trained.EMBEDDINGS, new NDList(table));
            }
            return loss;
        }
    }

    /** The float32 sums, one a trained tensor in its order; they belong to this. */
    List<NDArray> gradients() {
        return gradients;
    }

    private void add(NDManager pass, int layer, NDList parts) {
        List<NDArray> sums = new ArrayList<>();
        for (int i = 0; i < parameters.size(); i++) {
            if (parameters.get(i).layer() == layer) {
                sums.add(gradients.get(i));
            }
        }
        if (!sums.isEmpty()) {
            SCRIPT.run("accumulate", sums, parts);
        }
    }

    private int keptBlocks(long tokens) {
        return recomputation.keptBlocks(decoder.base().config(), decoder.base().stream(), tokens);
    }

    /** The first block whose result is not finite. */
    private static String where(List<NDList> kept, NDArray last) {
        for (int layer = 0; layer < kept.size(); layer++) {
            // what a block keeps first is its input, the result of the block below
            NDArray result = layer + 1 < kept.size() ? kept.get(layer + 1).get(0) : last;
            if (SCRIPT.integer("finite", result) == 0) {
                return "the result of model.layers." + layer;
            }
        }
        return "the loss, though the results of all blocks are finite";
    }

    @Override
    public void close() {
        manager.close();
    }
}
