package io.github.qlora4j.trainer.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.DenseWeight;
import io.github.qlora4j.quant.LinearWeight;
import io.github.qlora4j.quant.MatrixQuantizer;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.Scratch;
import io.github.qlora4j.quant.StoredScheme;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.safetensors.TensorInfo;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;

/** Reads a model directory into a {@link BaseModel}: everything is checked from the headers, then read one by one. */
final class BaseLoader {

    private static final Logger LOG = LogManager.getLogger(BaseLoader.class);
    private static final String EMBEDDINGS = "model.embed_tokens.weight";
    private static final String NORM = "model.norm.weight";
    private static final String HEAD = "lm_head.weight";
    private static final String HEAD_REMARK =
            ", as in transformers: a list of llm_int8_skip_modules takes the place of the default, which keeps it."
                    + " Name lm_head in the list where that is not meant";

    private final Path directory;
    private final ModelConfig config;
    private final BaseOptions options;
    private final StoredScheme scheme;
    private final Dtype dtype;
    private final Dtype stream;

    BaseLoader(Path directory, BaseOptions options) {
        this.directory = directory;
        this.config = ModelConfig.read(directory);
        StoredQuantization stored = StoredQuantization.of(directory, config, options);
        this.options = stored.options();
        this.scheme = stored.scheme();
        scheme.remarks().forEach(remark -> LOG.info("{}: {}", directory, remark));
        this.dtype = options.dtype().or(config::dtype).orElse(Dtype.FLOAT32);
        this.stream = options.upcast() ? Dtype.FLOAT32 : dtype;
    }

    BaseModel load() {
        NDManager manager = Torch.newManager();
        List<BaseModel.Layer> layers = new ArrayList<>();
        try (ModelDirectory files = ModelDirectory.open(directory)) {
            check(files, config, scheme);
            NDArray embeddings = read(manager, files, EMBEDDINGS);
            for (int i = 0; i < config.numHiddenLayers(); i++) {
                layers.add(layer(manager, files, "model.layers." + i + "."));
            }
            NDArray norm = read(manager, files, NORM);
            NDArray head = config.tieWordEmbeddings() ? embeddings : head(manager, files);
            return new BaseModel(manager, directory, config, options, stream, embeddings, norm, head, layers);
        } catch (RuntimeException | Error e) {
            layers.forEach(layer -> layer.linears().values().forEach(LinearWeight::close));
            manager.close();
            throw e;
        }
    }

    private BaseModel.Layer layer(NDManager manager, ModelDirectory files, String prefix) {
        Map<String, LinearWeight> linears = new LinkedHashMap<>();
        Map<String, NDArray> tensors = new LinkedHashMap<>();
        for (Family.Linear linear : config.family().linears(config)) {
            LinearWeight weight = linear(manager, files, prefix + linear.name());
            linears.put(linear.name(), weight);
            if (weight.rows() != linear.out() || weight.cols() != linear.in()) {
                linears.values().forEach(LinearWeight::close);
                throw new QloraException(directory + ": tensor " + prefix + linear.name() + ".weight: expected shape ["
                        + linear.out() + ", " + linear.in() + "], got [" + weight.rows() + ", " + weight.cols() + "]");
            }
            if (linear.bias()) {
                tensors.put(linear.name() + ".bias", read(manager, files, prefix + linear.name() + ".bias"));
            }
        }
        for (String norm : config.family().norms()) {
            tensors.put(norm + ".weight", read(manager, files, prefix + norm + ".weight"));
        }
        return new BaseModel.Layer(linears, tensors);
    }

    /** The head is kept dense; where it is quantized, by what its codes stand for. */
    private NDArray head(NDManager manager, ModelDirectory files) {
        if (isDense(files, "lm_head")) {
            return read(manager, files, HEAD);
        }
        LOG.info("{}: lm_head is quantized too{}", directory, scheme.has(files, "lm_head") ? "" : HEAD_REMARK);
        try (LinearWeight weight = linear(manager, files, "lm_head");
                Scratch scratch = new Scratch()) {
            if (weight.rows() != config.vocabSize() || weight.cols() != config.hiddenSize()) {
                throw new QloraException(directory + ": tensor " + HEAD + ": expected shape [" + config.vocabSize()
                        + ", " + config.hiddenSize() + "], got [" + weight.rows() + ", " + weight.cols() + "]");
            }
            return Torch.cast(manager, weight.dense(options.compute(), scratch), stream);
        }
    }

    /** Whether a linear layer is used as it is stored: in a quantized directory its tensors tell. */
    private boolean isDense(ModelDirectory files, String module) {
        return !scheme.has(files, module)
                && (options.quantizer().isEmpty() || config.quantization().isPresent() || options.skips(module));
    }

    private LinearWeight linear(NDManager manager, ModelDirectory files, String module) {
        String name = module + ".weight";
        if (scheme.has(files, module)) {
            return scheme.read(files, module);
        }
        if (isDense(files, module)) {
            return new DenseWeight(read(manager, files, name, stream));
        }
        // only this one weight stands whole in memory
        try (NDManager one = manager.newSubManager()) {
            return quantized(files, name, options.quantizer().orElseThrow(), read(one, files, name, dtype));
        }
    }

    private static LinearWeight quantized(
            ModelDirectory files, String name, MatrixQuantizer quantizer, NDArray matrix) {
        try {
            return quantizer.quantize(matrix);
        } catch (QloraException e) {
            throw new QloraException(files.fileOf(name) + ": tensor " + name + ": " + e.getMessage(), e);
        }
    }

    private NDArray read(NDManager manager, ModelDirectory files, String name) {
        return read(manager, files, name, stream);
    }

    /** Reads a tensor; it is rounded to the model's dtype on the way, as transformers does. */
    private NDArray read(NDManager manager, ModelDirectory files, String name, Dtype as) {
        NDArray tensor = files.read(manager, name);
        for (Dtype step : List.of(dtype, as)) {
            if (Torch.dtype(tensor) != step) {
                try (NDArray old = tensor) {
                    tensor = Torch.cast(manager, old, step);
                }
            }
        }
        return tensor;
    }

    static void check(ModelDirectory files, ModelConfig config, StoredScheme scheme) {
        List<String> problems = new ArrayList<>();
        expect(files, problems, EMBEDDINGS, config.vocabSize(), config.hiddenSize());
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
        expect(files, problems, NORM, config.hiddenSize());
        if (!config.tieWordEmbeddings() && !scheme.has(files, "lm_head")) {
            expect(files, problems, HEAD, config.vocabSize(), config.hiddenSize());
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
