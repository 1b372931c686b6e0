package io.github.qlora4j.trainer.train;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.data.BatchPlan;
import io.github.qlora4j.trainer.data.Dataset;
import io.github.qlora4j.trainer.data.PackedRows;
import io.github.qlora4j.trainer.model.Decoder;

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
        double[] sum = new double[1];
        long[] learned = new long[1];
        BatchPlan.inOrder(data, batchSize).forEach(batch -> {
            PackedRows packed = batch.packed();
            try (NDManager pass = Torch.newManager()) {
                NDArray x = decoder.encode(pass, packed);
                NDList result = decoder.loss(pass, x, packed, 1.0, false);
                sum[0] += result.get(0).getDouble();
                learned[0] += packed.learned();
            }
        });
        if (!Double.isFinite(sum[0])) {
            throw new QloraException("the loss over the evaluation rows is not finite: " + decoder.whyNotFinite());
        }
        return new Evaluation(sum[0] / learned[0], learned[0]);
    }

    /** {@code exp(loss)}. */
    public double perplexity() {
        return Math.exp(loss);
    }
}
