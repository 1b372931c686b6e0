package io.github.qlora4j.trainer.model;

import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.StoredScheme;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.safetensors.TensorInfo;
import io.github.qlora4j.quant.torch.Torch;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The tensors that a model's files must hold, by its {@code config.json}: checked from the headers. */
final class ExpectedTensors {

    private ExpectedTensors() {}

    /**
     * Checks names, shapes and dtypes.
     *
     * @throws QloraException with the first problems
     */
    static void check(ModelDirectory files, ModelConfig config, StoredScheme scheme) {
        List<String> problems = new ArrayList<>();
        expect(files, problems, BaseModel.EMBEDDINGS + ".weight", config.vocabSize(), config.hiddenSize());
        for (int i = 0; i < config.numHiddenLayers(); i++) {
            String prefix = "model.layers." + i + ".";
            for (Family.Linear linear : config.family().linears(config)) {
                if (!scheme.has(files, prefix + linear.name())) {
                    expect(files, problems, prefix + linear.name() + ".weight", linear.out(), linear.in());
                }
                if (linear.bias()) {
                    expect(files, problems, prefix + linear.name() + ".bias", linear.out());
                } else if (files.has(prefix + linear.name() + ".bias")
                        && !isZeroBias(files, scheme, prefix + linear.name())) {
                    problems.add("tensor " + prefix + linear.name()
                            + ".bias is there, but config.json says that this layer has no bias");
                }
            }
            for (String norm : config.family().norms()) {
                expect(files, problems, prefix + norm + ".weight", config.hiddenSize());
            }
        }
        expect(files, problems, "model.norm.weight", config.hiddenSize());
        if (!config.tieWordEmbeddings() && !scheme.has(files, BaseModel.HEAD)) {
            expect(files, problems, BaseModel.HEAD + ".weight", config.vocabSize(), config.hiddenSize());
        }
        String beyond = "model.layers." + config.numHiddenLayers() + ".";
        files.names().stream()
                .filter(n -> n.startsWith(beyond))
                .findFirst()
                .ifPresent(n -> problems.add("tensor " + n + " is there, but config.json has num_hidden_layers "
                        + config.numHiddenLayers()));
        if (!problems.isEmpty()) {
            int more = problems.size() - 8;
            throw new QloraException(files.path() + " does not hold the model that its config.json describes:\n  "
                    + String.join("\n  ", problems.subList(0, Math.min(8, problems.size())))
                    + (more > 0 ? "\n  and " + more + " more" : ""));
        }
    }

    /** Older GPTQ checkpoints have a bias for every quantized layer, of zeros where the model has none. */
    private static boolean isZeroBias(ModelDirectory files, StoredScheme scheme, String module) {
        if (!scheme.has(files, module) || !files.info(module + ".bias").dtype().isFloating()) {
            return false;
        }
        try (NDManager manager = Torch.newManager()) {
            for (float value : Torch.toFloats(files.read(manager, module + ".bias"))) {
                if (value != 0) {
                    return false;
                }
            }
            return true;
        }
    }

    private static void expect(ModelDirectory files, List<String> problems, String name, long... shape) {
        if (!files.has(name)) {
            problems.add("tensor " + name + " is missing");
            return;
        }
        TensorInfo info = files.info(name);
        if (!Arrays.equals(info.shape(), shape)) {
            problems.add("tensor " + name + ": expected shape " + Arrays.toString(shape) + ", got "
                    + Arrays.toString(info.shape()));
        } else if (!info.dtype().isFloating()) {
            problems.add("tensor " + name + ": expected a floating-point dtype, got "
                    + info.dtype().safetensors());
        }
    }
}
