package io.github.qlora4j.trainer.optim;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.torch.Dtype;
import java.util.List;
import java.util.Map;
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

    /** The tensors that {@link #save} writes, in its order: {@code PARAMETER.exp_avg} and the like. */
    List<StateTensor> stateTensors();

    /** What a file of the state carries beside its tensors: the algorithm and the number of updates. */
    Map<String, String> stateMetadata();

    /** Hands out the state, a tensor at a time. */
    void save(StateSink sink);

    /**
     * Takes up a saved state; master copies are rounded into their parameters.
     *
     * @throws io.github.qlora4j.quant.QloraException if the state is another optimizer's or lacks a tensor, or one has
     *     the wrong shape or type; nothing is then changed
     */
    void load(StateSource source);

    /** Bytes of state. */
    long stateBytes();

    /** What paging has done; empty where the state is not paged. */
    Optional<PagingStatistics> paging();

    @Override
    void close();

    /** A tensor of the state. */
    record StateTensor(String name, Dtype dtype, long... shape) {}

    /** Where a state is written to. */
    @FunctionalInterface
    interface StateSink {
        /** Takes a tensor, which is closed after the call. */
        void write(String name, NDArray tensor);
    }

    /** Where a state comes from, such as a safetensors file. */
    interface StateSource {
        /** The file or directory, for messages. */
        String where();

        /** The metadata of {@link Optimizer#stateMetadata}. */
        Map<String, String> metadata();

        /** What a tensor is, or null where there is none of this name. */
        StateTensor find(String name);

        /** Reads a tensor, owned by the manager. */
        NDArray read(NDManager manager, String name);
    }
}
