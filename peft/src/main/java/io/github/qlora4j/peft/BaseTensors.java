package io.github.qlora4j.peft;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.FourBitCheckpoint;
import io.github.qlora4j.quant.FourBitWeight;
import io.github.qlora4j.quant.Kernel;
import io.github.qlora4j.quant.LinearWeight;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.Scratch;
import io.github.qlora4j.quant.StoredScheme;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.safetensors.TensorInfo;
import io.github.qlora4j.quant.safetensors.TensorSpec;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.util.ArrayList;
import java.util.List;

/**
 * A base model's tensors, one at a time: a plain model directory, or one whose matrices are unpacked from 4 bits.
 *
 * <p>Merging reads each tensor once, so that the whole model never stands in memory.
 */
public interface BaseTensors {

    /** All tensors with the shapes that they have when read; a 4-bit checkpoint's packed parts are not among them. */
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
     * The tensors of a directory whose linear layers are stored in four bits, worked out as training sees them.
     *
     * @param compute the dtype that training works them out in
     * @param kernel who does, from {@code Kernels.choose}
     */
    static BaseTensors dequantized(ModelDirectory directory, Dtype compute, Kernel kernel) {
        return new BaseTensors() {
            @Override
            public List<TensorSpec> specs() {
                List<TensorSpec> specs = new ArrayList<>();
                for (String name : directory.names()) {
                    if (FourBitCheckpoint.has(directory, name)) {
                        try (FourBitWeight weight = FourBitCheckpoint.read(directory, name, kernel)) {
                            specs.add(new TensorSpec(name, compute, weight.rows(), weight.cols()));
                        }
                    } else if (!FourBitCheckpoint.isState(name)) {
                        TensorInfo info = directory.info(name);
                        specs.add(new TensorSpec(name, info.dtype(), info.shape()));
                    }
                }
                return specs;
            }

            @Override
            public NDArray read(NDManager manager, String name) {
                if (!FourBitCheckpoint.has(directory, name)) {
                    return directory.read(manager, name);
                }
                try (FourBitWeight weight = FourBitCheckpoint.read(directory, name, kernel);
                        Scratch scratch = new Scratch()) {
                    return Torch.copy(manager, weight.dense(compute, scratch));
                }
            }
        };
    }

    /**
     * The tensors of a directory whose linear layers are stored in another scheme, worked out as training sees them.
     *
     * @param scheme what reads the layers, {@code StoredSchemes.of} for instance
     * @param compute the dtype that training works them out in
     */
    static BaseTensors dequantized(ModelDirectory directory, StoredScheme scheme, Dtype compute) {
        return new BaseTensors() {
            @Override
            public List<TensorSpec> specs() {
                List<TensorSpec> specs = new ArrayList<>();
                for (String name : directory.names()) {
                    String module = name.substring(0, Math.max(0, name.lastIndexOf('.')));
                    if (!scheme.isPart(directory, name)) {
                        TensorInfo info = directory.info(name);
                        specs.add(new TensorSpec(name, info.dtype(), info.shape()));
                    } else if (specs.stream().noneMatch(s -> s.name().equals(module + ".weight"))) {
                        try (LinearWeight weight = scheme.read(directory, module)) {
                            specs.add(new TensorSpec(module + ".weight", compute, weight.rows(), weight.cols()));
                        }
                    }
                }
                return specs;
            }

            @Override
            public NDArray read(NDManager manager, String name) {
                if (directory.has(name)) {
                    return directory.read(manager, name);
                }
                try (LinearWeight weight = scheme.read(directory, name.substring(0, name.lastIndexOf('.')));
                        Scratch scratch = new Scratch()) {
                    return Torch.copy(manager, weight.dense(compute, scratch));
                }
            }
        };
    }
}
