package io.github.qlora4j.quant;

import ai.djl.ndarray.NDArray;
import io.github.qlora4j.quant.torch.Dtype;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * A matrix whose element is scale × (code − zero), with a scale and a zero point for each output and group of inputs.
 * Dequantized before each use, or laid out for the engine's 4-bit product when decoding.
 *
 * <p>The weight owns its memory; whoever holds it closes it.
 */
public abstract sealed class GroupedWeight implements LinearWeight permits AwqWeight, GptqWeight {

    private final GroupedCodes codes;

    /** Takes over the codes. */
    GroupedWeight(GroupedCodes codes) {
        this.codes = codes;
    }

    final GroupedCodes codes() {
        return codes;
    }

    /** Groups of inputs, each with scales and zero points of its own. */
    public final int groups() {
        return codes.groups();
    }

    @Override
    public final long rows() {
        return codes.rows();
    }

    @Override
    public final long cols() {
        return codes.cols();
    }

    @Override
    public final long bytes() {
        return codes.bytes();
    }

    /** {@inheritDoc} Values are scale × (code − zero) in float32, rounded once. */
    @Override
    public final NDArray dense(Dtype compute, Scratch scratch) {
        return codes.dense(compute, scratch);
    }

    /** {@inheritDoc} In bfloat16, for 4 bits and groups of 32 or a multiple; scales are rounded to it. */
    @Override
    public final Optional<ReadyProduct> product(List<? extends LinearWeight> beside, Dtype compute) {
        List<GroupedCodes> all = new ArrayList<>(List.of(codes));
        for (LinearWeight other : beside) {
            if (!(other instanceof GroupedWeight weight)) {
                return Optional.empty();
            }
            all.add(weight.codes);
        }
        return GroupedProduct.of(all, compute);
    }

    @Override
    public final void close() {
        codes.close();
    }
}
