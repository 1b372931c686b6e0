package io.github.qlora4j.trainer.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.BitsAndBytesCheckpoint;
import io.github.qlora4j.quant.DenseWeight;
import io.github.qlora4j.quant.Int8Scheme;
import io.github.qlora4j.quant.Kernels;
import io.github.qlora4j.quant.LinearWeight;
import io.github.qlora4j.quant.MatrixQuantizer;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.Scratch;
import io.github.qlora4j.quant.StoredScheme;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.config.Device;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Function;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;

/** Reads a model directory into a {@link BaseModel}: everything is checked from the headers, then read one by one. */
final class BaseLoader {

    private static final Logger LOG = LogManager.getLogger(BaseLoader.class);
    private static final String EMBEDDINGS = BaseModel.EMBEDDINGS + ".weight";
    private static final String NORM = "model.norm.weight";
    private static final String HEAD = BaseModel.HEAD + ".weight";
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
        DiskParts parts = new DiskParts();
        try {
            ModelDirectory files = ModelDirectory.open(directory);
            parts.keep(files);
            ExpectedTensors.check(files, config, scheme);
            Placement placement = placement(files);
            placement.requireNoGpu();
            if (placement.usesDisk()) {
                placement.lines().forEach(line -> LOG.info("{}: {}", directory, line));
            }
            ModelDirectory offloaded = offloaded(files, placement, parts);
            boolean tied = config.tieWordEmbeddings();
            NDArray embeddings = table(manager, files, parts, placement.embeddingsOnDisk(), BaseModel.EMBEDDINGS);
            for (int i = 0; i < config.numHiddenLayers(); i++) {
                boolean onDisk = placement.block(i).equals(Device.DISK);
                String prefix = "model.layers." + i + ".";
                layers.add(
                        onDisk
                                ? onDisk(manager, files, offloaded, parts, prefix)
                                : new BaseModel.Layer(
                                        linears(prefix, module -> linear(files, module)),
                                        beside(manager, files, prefix)));
                // what weights were quantized from lies between the quantized ones, in holes of other sizes
                Torch.giveBackFreedMemory();
            }
            NDArray norm = read(manager, files, NORM);
            NDArray head = tied ? embeddings : placement.headOnDisk() ? null : head(manager, files);
            if (!tied && head == null) {
                parts.add(BaseModel.HEAD, () -> Map.of(BaseModel.HEAD, owned(owner -> head(owner, files))));
            }
            if (tied && embeddings == null) {
                parts.add(BaseModel.HEAD, () -> Map.of(BaseModel.HEAD, dense(files, EMBEDDINGS, stream)));
            }
            if (parts.isEmpty()) {
                // nothing is read any more
                parts.close();
            }
            DiskRows rows = new DiskRows(files, EMBEDDINGS, List.of(dtype, stream));
            return new BaseModel(
                    manager,
                    directory,
                    config,
                    options,
                    stream,
                    placement,
                    parts,
                    rows,
                    embeddings,
                    norm,
                    head,
                    layers);
        } catch (RuntimeException | Error e) {
            layers.forEach(layer -> layer.linears().values().forEach(LinearWeight::close));
            parts.close();
            manager.close();
            throw e;
        }
    }

    private Placement placement(ModelDirectory files) {
        PlacementOptions asked = options.placement();
        asked.check();
        if (asked.fp32Offload() && (options.quantizer().isEmpty() || scheme.isIn(files))) {
            throw new QloraException(directory + ": quantization.llm_int8_enable_fp32_cpu_offload is for a base that is"
                    + " quantized while it is loaded");
        }
        boolean bitsandbytes = options.quantizer().isPresent();
        return Placement.of(config, asked, (module, linear) -> bytes(files, module, linear), stream, bitsandbytes);
    }

    /** What a layer's matrix takes, as transformers counts it; GPTQ's and AWQ's as they are stored. */
    private double bytes(ModelDirectory files, String module, Family.Linear linear) {
        double weights = (double) linear.out() * linear.in();
        boolean stored = scheme.has(files, module);
        if (stored && options.quantizer().isEmpty()) {
            return files.names().stream()
                    .filter(name -> name.startsWith(module + ".") && !name.endsWith(".bias"))
                    .mapToDouble(name -> files.info(name).byteLength())
                    .sum();
        }
        if (!isDense(files, module)) {
            return options.eightBit().isPresent() ? weights : weights / 2;
        }
        return weights * stream.bytes();
    }

    /** The embeddings or the head; null, and a part of its own, where it lies on the disk. */
    private NDArray table(NDManager manager, ModelDirectory files, DiskParts parts, boolean onDisk, String module) {
        String name = module + ".weight";
        if (!onDisk) {
            return read(manager, files, name);
        }
        parts.add(module, () -> Map.of(module, dense(files, name, stream)));
        return null;
    }

    private DenseWeight dense(ModelDirectory files, String name, Dtype as) {
        return owned(owner -> read(owner, files, name, as));
    }

    private static DenseWeight owned(Function<NDManager, NDArray> reader) {
        NDManager owner = Torch.newManager();
        try {
            return DenseWeight.owning(owner, reader.apply(owner));
        } catch (RuntimeException | Error e) {
            owner.close();
            throw e;
        }
    }

    /** Blocks that are quantized while loading and lie on the disk; null where there are none. */
    private ModelDirectory offloaded(ModelDirectory files, Placement placement, DiskParts parts) {
        Map<Integer, List<String>> modules = new TreeMap<>();
        for (int i = 0; i < config.numHiddenLayers(); i++) {
            if (placement.block(i).equals(Device.DISK)) {
                modules.put(i, quantizedHere(files, i));
            }
        }
        modules.values().removeIf(List::isEmpty);
        if (modules.isEmpty()) {
            return null;
        }
        OffloadFolder folder = OffloadFolder.of(files, config, options, dtype, modules.size());
        ModelDirectory made = folder.open(modules, (owner, module) -> read(owner, files, module + ".weight", dtype));
        parts.keep(made);
        return made;
    }

    /** The linear layers of a block that are quantized while loading. */
    private List<String> quantizedHere(ModelDirectory files, int block) {
        return config.family().linears(config).stream()
                .map(linear -> "model.layers." + block + "." + linear.name())
                .filter(module -> !scheme.has(files, module) && !isDense(files, module))
                .toList();
    }

    /** A block that is read for each use; it is read once now, so that damage is found before any work. */
    private BaseModel.Layer onDisk(
            NDManager manager, ModelDirectory files, ModelDirectory offloaded, DiskParts parts, String prefix) {
        StoredScheme made = new BitsAndBytesCheckpoint(
                () -> Kernels.choose(options.kernel()),
                options.eightBit().map(Int8Scheme::threshold).orElse(0.0));
        parts.add(
                prefix,
                () -> linears(prefix, module -> {
                    if (offloaded != null && made.has(offloaded, module)) {
                        return made.read(offloaded, module);
                    }
                    return linear(files, module);
                }));
        Map<String, LinearWeight> onDisk = new LinkedHashMap<>();
        parts.take(prefix).forEach((name, weight) -> onDisk.put(name, new DiskWeight(parts, prefix, name, weight)));
        return new BaseModel.Layer(onDisk, beside(manager, files, prefix));
    }

    private Map<String, LinearWeight> linears(String prefix, Function<String, LinearWeight> reader) {
        Map<String, LinearWeight> linears = new LinkedHashMap<>();
        try {
            for (Family.Linear linear : config.family().linears(config)) {
                LinearWeight weight = reader.apply(prefix + linear.name());
                linears.put(linear.name(), weight);
                if (weight.rows() != linear.out() || weight.cols() != linear.in()) {
                    throw new QloraException(directory + ": tensor " + prefix + linear.name()
                            + ".weight: expected shape [" + linear.out() + ", " + linear.in() + "], got ["
                            + weight.rows() + ", " + weight.cols() + "]");
                }
            }
            return linears;
        } catch (RuntimeException | Error e) {
            linears.values().forEach(LinearWeight::close);
            throw e;
        }
    }

    /** Biases and norms of a block. */
    private Map<String, NDArray> beside(NDManager manager, ModelDirectory files, String prefix) {
        Map<String, NDArray> tensors = new LinkedHashMap<>();
        for (Family.Linear linear : config.family().linears(config)) {
            if (linear.bias()) {
                tensors.put(linear.name() + ".bias", read(manager, files, prefix + linear.name() + ".bias"));
            }
        }
        for (String norm : config.family().norms()) {
            tensors.put(norm + ".weight", read(manager, files, prefix + norm + ".weight"));
        }
        return tensors;
    }

    /** The head is kept dense; where it is quantized, by what its codes stand for. */
    private NDArray head(NDManager manager, ModelDirectory files) {
        if (isDense(files, BaseModel.HEAD)) {
            return read(manager, files, HEAD);
        }
        LOG.info("{}: lm_head is quantized too{}", directory, scheme.has(files, BaseModel.HEAD) ? "" : HEAD_REMARK);
        try (LinearWeight weight = linear(files, BaseModel.HEAD);
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

    private LinearWeight linear(ModelDirectory files, String module) {
        String name = module + ".weight";
        if (scheme.has(files, module)) {
            return scheme.read(files, module);
        }
        if (isDense(files, module)) {
            return dense(files, name, options.placement().keepsFloat32(module) ? Dtype.FLOAT32 : stream);
        }
        // only this one weight stands whole in memory
        try (NDManager one = Torch.newManager()) {
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
}
