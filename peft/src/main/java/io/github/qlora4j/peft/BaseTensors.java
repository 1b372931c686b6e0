package io.github.qlora4j.peft;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.FourBitCheckpoint;
import io.github.qlora4j.quant.Int8Checkpoint;
import io.github.qlora4j.quant.Int8Weight;
import io.github.qlora4j.quant.Kernel;
import io.github.qlora4j.quant.LinearWeight;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.Scratch;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.safetensors.TensorInfo;
import io.github.qlora4j.quant.safetensors.TensorSpec;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.util.ArrayList;
import java.util.List;

/**
 * A base model's tensors, one at a time: a plain model directory, or one whose matrices are unpacked from 4 or 8 bits.
 *
 * <p>Merging reads each tensor once, so that the whole model never stands in memory.
 */
public interface BaseTensors {

    /** All tensors with the shapes that they have when read; the parts of a quantized checkpoint's weights are not among them. */
    List<TensorSpec> specs();

    /** Reads a tensor; the caller owns it by the manager. */
    NDArray read(NDManager manager, String name);

    /** The tensors of a model directory that is not quantized; the directory stays the caller's to close. */
    static BaseTensors of(ModelDirectory directory) {
        return new BaseTensors() {
            @Override
            public List<TensorSpec> specs() {
                List<TensorSpec> specs = new ArrayList<>();
                for (String name : directory.names()) {
                    TensorInfo info = directory.info(name);
                    if (name.contains(".quant_state.") || name.endsWith(".SCB")) {
                        throw new QloraException(directory.path() + " is a quantized checkpoint (tensor " + name
                                + "). It must be read as one to be merged.");
                    }
                    specs.add(new TensorSpec(name, info.dtype(), info.shape()));
                }
                return specs;
            }

            @Override
            public NDArray read(NDManager manager, String name) {
                return directory.read(manager, name);
            }
        };
    }

    /**
     * The tensors of a directory whose linear layers are stored in four or eight bits, worked out as training sees them.
     *
     * @param compute the dtype that training works them out in
     * @param kernel who does with four bits, from {@code Kernels.choose}
     */
    static BaseTensors dequantized(ModelDirectory directory, Dtype compute, Kernel kernel) {
        return new BaseTensors() {
            @Override
            public List<TensorSpec> specs() {
                List<TensorSpec> specs = new ArrayList<>();
                for (String name : directory.names()) {
                    if (isQuantized(name)) {
                        try (LinearWeight weight = weight(name)) {
                            specs.add(new TensorSpec(name, compute, weight.rows(), weight.cols()));
                        }
                    } else if (!FourBitCheckpoint.isState(name) && !Int8Checkpoint.isState(name)) {
                        TensorInfo info = directory.info(name);
                        specs.add(new TensorSpec(name, info.dtype(), info.shape()));
                    }
                }
                return specs;
            }

            @Override
            public NDArray read(NDManager manager, String name) {
                if (!isQuantized(name)) {
                    return directory.read(manager, name);
                }
                try (LinearWeight weight = weight(name);
                        Scratch scratch = new Scratch()) {
                    return Torch.copy(manager, weight.dense(compute, scratch));
                }
            }

            private boolean isQuantized(String name) {
                return FourBitCheckpoint.has(directory, name) || Int8Checkpoint.has(directory, name);
            }

            private LinearWeight weight(String name) {
                return FourBitCheckpoint.has(directory, name)
                        ? FourBitCheckpoint.read(directory, name, kernel)
                        : Int8Checkpoint.read(directory, name, Int8Weight.DEFAULT_THRESHOLD);
            }
        };
    }
}
