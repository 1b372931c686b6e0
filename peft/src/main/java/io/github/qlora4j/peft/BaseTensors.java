package io.github.qlora4j.peft;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
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
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A base model's tensors, one at a time: a plain model directory, or one whose matrices are stored quantized.
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
     * The tensors of a directory whose linear layers are stored quantized, worked out as training sees them.
     *
     * @param scheme what reads the layers
     * @param compute the dtype that training works them out in
     */
    static BaseTensors dequantized(ModelDirectory directory, StoredScheme scheme, Dtype compute) {
        return new BaseTensors() {
            @Override
            public List<TensorSpec> specs() {
                Map<String, TensorSpec> specs = new LinkedHashMap<>();
                for (String name : directory.names()) {
                    Optional<String> module = scheme.moduleOf(directory, name);
                    String weight = module.map(m -> m + ".weight").orElse(name);
                    if (module.isEmpty()) {
                        TensorInfo info = directory.info(name);
                        specs.put(name, new TensorSpec(name, info.dtype(), info.shape()));
                    } else if (!specs.containsKey(weight)) {
                        try (LinearWeight read = scheme.read(directory, module.get())) {
                            specs.put(weight, new TensorSpec(weight, compute, read.rows(), read.cols()));
                        }
                    }
                }
                return List.copyOf(specs.values());
            }

            @Override
            public NDArray read(NDManager manager, String name) {
                String module = name.substring(0, Math.max(0, name.lastIndexOf('.')));
                if (!scheme.has(directory, module) || !name.equals(module + ".weight")) {
                    return directory.read(manager, name);
                }
                try (LinearWeight weight = scheme.read(directory, module);
                        Scratch scratch = new Scratch()) {
                    return Torch.copy(manager, weight.dense(compute, scratch));
                }
            }
        };
    }
}
