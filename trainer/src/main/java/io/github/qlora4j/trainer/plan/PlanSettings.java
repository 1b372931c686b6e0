package io.github.qlora4j.trainer.plan;

import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.trainer.config.OptimizerName;
import io.github.qlora4j.trainer.model.Placement;

/**
 * What of a run decides its memory.
 *
 * @param dtype the dtype that the base is cast to
 * @param quantized how the base is quantized; null where it is not
 * @param compute the dtype of the matrix products
 * @param upcast whether what is not quantized is kept in float32
 * @param adapter what is trained
 * @param adapterDtype the adapter's dtype; bfloat16 has a float32 master copy
 * @param optimizer the optimizer
 * @param pagedResident bytes of a paged optimizer's state that may be in memory at once
 * @param tokens tokens of one micro-batch at most
 * @param recomputedLayers layers that are computed again in the backward pass
 * @param placement where the base lies; null is all in memory
 */
public record PlanSettings(
        Dtype dtype,
        Quantized quantized,
        Dtype compute,
        boolean upcast,
        Trained adapter,
        Dtype adapterDtype,
        OptimizerName optimizer,
        long pagedResident,
        long tokens,
        int recomputedLayers,
        Placement placement) {

    /**
     * Parameters that are trained.
     *
     * @param lora elements of the A and B matrices
     * @param biases elements of the base's own biases that are trained
     * @param saved elements of the copies of {@code modules_to_save}, which count beside the frozen originals as in peft
     */
    public record Trained(long lora, long biases, long saved) {
        /** All of them. */
        public long total() {
            return lora + biases + saved;
        }
    }

    /** The same with another number of layers computed again. */
    public PlanSettings recomputing(int recomputed) {
        return new PlanSettings(
                dtype,
                quantized,
                compute,
                upcast,
                adapter,
                adapterDtype,
                optimizer,
                pagedResident,
                tokens,
                recomputed,
                placement);
    }
}
