package io.github.qlora4j.trainer.train;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.data.Batch;
import io.github.qlora4j.trainer.data.BatchPlan;
import io.github.qlora4j.trainer.data.Dataset;
import io.github.qlora4j.trainer.data.PackedRows;
import io.github.qlora4j.trainer.model.Decoder;
import java.util.Optional;
import java.util.function.BooleanSupplier;

/**
 * The mean loss over the learned tokens of a dataset.
 *
 * <p>Logits stand in memory a chunk at a time, as in training.
 *
 * @param loss sum over learned tokens divided by their number
 * @param learnedTokens that number
 */
public record Evaluation(double loss, long learnedTokens) {

    /**
     * Scores all rows, {@code batchSize} at a time.
     *
     * @throws QloraException if the loss is not finite; the message says what in the base is not
     */
    public static Evaluation of(Decoder decoder, Dataset data, int batchSize) {
        return of(decoder, data, batchSize, () -> false).orElseThrow();
    }

    /** As {@link #of(Decoder, Dataset, int)}; empty where it was cancelled, which is asked before each batch. */
    static Optional<Evaluation> of(Decoder decoder, Dataset data, int batchSize, BooleanSupplier cancelled) {
        double sum = 0;
        long learned = 0;
        Iterable<Batch> batches = BatchPlan.inOrder(data, batchSize)::iterator;
        for (Batch batch : batches) {
            if (cancelled.getAsBoolean()) {
                return Optional.empty();
            }
            PackedRows packed = batch.packed();
            try (NDManager pass = Torch.newManager()) {
                NDArray x = decoder.encode(pass, packed);
                NDList result = decoder.loss(pass, x, packed, 1.0, false);
                sum += result.get(0).getDouble();
                learned += packed.learned();
            }
        }
        if (!Double.isFinite(sum)) {
            throw new QloraException("the loss over the evaluation rows is not finite: " + decoder.whyNotFinite());
        }
        return Optional.of(new Evaluation(sum / learned, learned));
    }

    /** {@code exp(loss)}. */
    public double perplexity() {
        return Math.exp(loss);
    }
}
