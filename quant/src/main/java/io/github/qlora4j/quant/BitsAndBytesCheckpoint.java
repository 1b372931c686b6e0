package io.github.qlora4j.quant;

import io.github.qlora4j.quant.safetensors.ModelDirectory;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;

/**
 * What bitsandbytes stored, in 4 bits or by LLM.int8(): each weight as its tensors in the files say.
 *
 * @param kernel who works 4-bit weights out; asked only where there are any
 * @param threshold of 8-bit weights: from which on an element of the activations is an outlier; 0 for none
 */
public record BitsAndBytesCheckpoint(Supplier<Kernel> kernel, double threshold) implements StoredScheme {

    @Override
    public String name() {
        return "bitsandbytes";
    }

    @Override
    public boolean has(ModelDirectory model, String module) {
        String weight = module + ".weight";
        return FourBitCheckpoint.has(model, weight) || Int8Checkpoint.has(model, weight);
    }

    @Override
    public Optional<String> moduleOf(ModelDirectory model, String tensor) {
        boolean state = FourBitCheckpoint.isState(tensor);
        int end = state ? tensor.indexOf(".weight.") : Math.max(0, tensor.lastIndexOf('.'));
        return Optional.of(tensor.substring(0, end))
                .filter(module -> state
                        || Int8Checkpoint.isState(tensor)
                        || tensor.equals(module + ".weight") && has(model, module));
    }

    @Override
    public LinearWeight read(ModelDirectory model, String module) {
        String weight = module + ".weight";
        return Int8Checkpoint.has(model, weight)
                ? Int8Checkpoint.read(model, weight, threshold)
                : FourBitCheckpoint.read(model, weight, kernel.get());
    }

    /** {@inheritDoc} They do not tell here: each weight's own tensors do. */
    @Override
    public Optional<WeightBytes> bytes(long out, long in) {
        return Optional.empty();
    }

    @Override
    public List<String> remarks() {
        return List.of();
    }
}
