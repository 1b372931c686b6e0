package io.github.qlora4j.trainer.optim;

import ai.djl.ndarray.NDArray;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * Updates parameters in place from their gradients, and keeps what it needs to remember between updates.
 *
 * <p>bfloat16 and float16 parameters have a float32 master copy in the state: the update is made on the copy and then
 * rounded into the parameter. Saving, loading into a new optimizer and going on gives the same bits as going on.
 *
 * <p>Not for use by several threads. Its opener closes it; the parameters stay the caller's.
 */
public sealed interface Optimizer extends AutoCloseable permits AdamW {

    /**
     * Makes the optimizer that a configuration names, its state all zeros, its master copies taken from the parameters.
     *
     * @throws io.github.qlora4j.quant.QloraException if there is no room for paged state
     */
    static Optimizer create(OptimizerConfig config, List<Parameter> parameters) {
        return new AdamW(config, parameters);
    }

    /**
     * One update.
     *
     * @param gradients float32, one a parameter, of its shape; they are only read
     * @param learningRate a finite number, at least 0
     * @throws io.github.qlora4j.quant.QloraException if the rate, or a gradient's number, shape or type, is wrong;
     *     nothing is then updated
     */
    void step(List<NDArray> gradients, double learningRate);

    /** The number of updates made so far. */
    long steps();

    /** The parameters, in the order of their gradients. */
    List<Parameter> parameters();

    /**
     * Writes the state as a safetensors file, beside it and then moved into place.
     *
     * <p>Tensors, for a parameter {@code P}: {@code P.exp_avg} and {@code P.exp_avg_sq}, or in 8 bits {@code P.state1},
     * {@code P.state2}, {@code P.absmax1}, {@code P.absmax2}, {@code P.qmap1}, {@code P.qmap2}; and {@code P.master}
     * where the parameter is not float32. The metadata say {@code optimizer} (paged and not paged is the same), {@code
     * step} and {@code format}.
     *
     * @throws io.github.qlora4j.quant.QloraException if the file cannot be written
     */
    void save(Path file);

    /**
     * Takes up a saved state; master copies are rounded into their parameters.
     *
     * @throws io.github.qlora4j.quant.QloraException if the file is damaged, or the state is another optimizer's or
     *     other parameters'; nothing is then changed
     */
    void load(Path file);

    /** Bytes of state. */
    long stateBytes();

    /** What paging has done; empty where the state is not paged. */
    Optional<PagingStatistics> paging();

    @Override
    void close();
}
