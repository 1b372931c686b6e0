package io.github.qlora4j.quant;

import ai.djl.ndarray.NDArray;
import io.github.qlora4j.quant.torch.Dtype;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A frozen matrix {@code [out, in]} of a linear layer, in whatever form it is kept: one class a scheme.
 *
 * <p>Its owner closes it.
 */
public interface LinearWeight extends AutoCloseable {

    /** Outputs of the layer. */
    long rows();

    /** Inputs of the layer. */
    long cols();

    /** Bytes that the weight takes in memory, scales and all. */
    long bytes();

    /** The scheme's name, {@code "nf4"} for instance. */
    String scheme();

    /**
     * The matrix {@code [out, in]} in {@code compute}.
     *
     * @param scratch where a weight that is not kept so is worked out; the result is valid until its next use
     * @return owned by this weight or by {@code scratch}; the caller does not close it
     */
    NDArray dense(Dtype compute, Scratch scratch);

    /**
     * The scheme's own product with this weight and others beside it, which needs no {@link #dense} matrix; where it has
     * one for this dtype on this machine, and the others are like this weight.
     *
     * @param beside weights of as many inputs, whose outputs come behind those of this one
     * @return owned by the caller
     */
    default Optional<ReadyProduct> product(List<? extends LinearWeight> beside, Dtype compute) {
        return Optional.empty();
    }

    /**
     * What a layer's product without a backward pass takes, by the names of tensors in the layer: the dense
     * {@code weight} alone, unless the scheme has a product of its own.
     *
     * @param scratch as in {@link #dense}
     * @return owned by this weight or by {@code scratch}; the caller does not close them
     */
    default Map<String, NDArray> operands(Dtype compute, Scratch scratch) {
        return Map.of("weight", dense(compute, scratch));
    }

    /** Whether {@link #operands} are for a product of the scheme's own, and no dense weight is worked out for it. */
    default boolean hasOwnProduct() {
        return false;
    }

    @Override
    void close();
}
