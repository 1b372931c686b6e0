package io.github.qlora4j.peft;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.Reason;
import io.github.qlora4j.quant.safetensors.SafetensorsWriter;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/**
 * The matrices of an adapter, module by module, and the base's tensors that are trained whole beside them.
 *
 * <pre>{@code
 * List<Target> targets = TargetModules.resolve(config, modules, "llama");
 * try (Adapter adapter = Adapter.create(manager, config, targets, Dtype.BFLOAT16, 42)) {
 *     adapter.save(directory, AdapterConfigFile.of(config, "models/llama"));
 * }
 * }</pre>
 *
 * <p>The adapter owns its tensors: they are freed with it, or with the manager it was made from.
 */
public final class Adapter implements AutoCloseable {

    /** The name of the file of tensors. */
    public static final String WEIGHTS = "adapter_model.safetensors";

    static final String PREFIX = "base_model.model.";

    private final NDManager manager;
    private final LoraConfig config;
    private final Dtype dtype;
    private final Map<String, LoraWeights> modules = new LinkedHashMap<>();
    private final Map<String, NDArray> whole = new LinkedHashMap<>();
    private String baseModel;
    private Path file;

    Adapter(NDManager parent, LoraConfig config, Dtype dtype) {
        this.manager = parent.newSubManager();
        this.config = config;
        this.dtype = dtype;
    }

    /**
     * Makes the matrices of a new adapter.
     *
     * <p>A is drawn in float32 and then cast; the values depend on the seed and the module's name alone. B is zero.
     *
     * @param parent lives at least as long as the adapter
     * @param targets what {@link TargetModules#resolve} found
     * @param dtype BFLOAT16, FLOAT16 or FLOAT32
     */
    public static Adapter create(NDManager parent, LoraConfig config, List<Target> targets, Dtype dtype, long seed) {
        if (!dtype.isFloating()) {
            throw new QloraException("An adapter cannot be " + dtype.torchName() + ". Use bfloat16 or float32.");
        }
        Adapter adapter = new Adapter(parent, config, dtype);
        try {
            for (Target target : targets) {
                adapter.put(NewWeights.of(adapter.manager, target, config.initLoraWeights(), dtype, seed));
            }
            return adapter;
        } catch (RuntimeException e) {
            adapter.close();
            throw e;
        }
    }

    /**
     * Loads an adapter directory that peft or {@link #save} wrote, checking every tensor against the base.
     *
     * @param parent lives at least as long as the adapter
     * @param modules every module of the base
     * @param modelType the base's {@code model_type}, used where the file leaves the targets to it; may be null
     * @param dtype what to cast to, or null for the dtype that is stored
     * @throws QloraException if a tensor is missing, unexpected or of another shape, or the format is not supported
     */
    public static Adapter load(
            NDManager parent, Path directory, List<ModuleInfo> modules, String modelType, Dtype dtype) {
        return new AdapterReader(directory).read(parent, modules, modelType, dtype);
    }

    /** Loads an adapter directory by what its files alone say; shapes are checked among themselves. */
    public static Adapter load(NDManager parent, Path directory) {
        return new AdapterReader(directory).read(parent, null, null, null);
    }

    void put(LoraWeights weights) {
        modules.put(weights.module(), weights);
    }

    void putWhole(String name, NDArray tensor) {
        whole.put(name, tensor);
    }

    NDManager manager() {
        return manager;
    }

    void baseModel(String name) {
        baseModel = name;
    }

    /**
     * Adds a tensor of the base that is trained and saved whole: a weight of {@code modules_to_save}, or a bias.
     *
     * @param name the tensor's name in the base, such as {@code lm_head.weight}
     * @param initial its value, which is copied in the adapter's dtype
     * @return the adapter's own tensor
     */
    public NDArray addWhole(String name, NDArray initial) {
        NDArray copy = Torch.cast(manager, initial, dtype);
        NDArray before = whole.put(name, copy);
        if (before != null) {
            before.close();
        }
        return copy;
    }

    /** The configuration. */
    public LoraConfig config() {
        return config;
    }

    /** The dtype of the matrices. */
    public Dtype dtype() {
        return dtype;
    }

    void file(Path loaded) {
        file = loaded;
    }

    /** The file that the tensors were loaded from; empty where they were made. */
    public Optional<Path> file() {
        return Optional.ofNullable(file);
    }

    /** The base model that the loaded file names, or null. */
    public String baseModel() {
        return baseModel;
    }

    /** The matrices by module name, in the base's order; not modifiable. */
    public Map<String, LoraWeights> modules() {
        return Collections.unmodifiableMap(modules);
    }

    /** The tensors that are trained whole, by their names in the base; not modifiable. */
    public Map<String, NDArray> whole() {
        return Collections.unmodifiableMap(whole);
    }

    /** The matrices of a module, or null where it has no adapter. */
    public LoraWeights get(String module) {
        return modules.get(module);
    }

    /** All trained tensors by their keys in the file, in the base's order: A before B, then what is trained whole. */
    public Map<String, NDArray> parameters() {
        Map<String, NDArray> parameters = new LinkedHashMap<>();
        modules.forEach((name, weights) -> {
            parameters.put(PREFIX + name + ".lora_A.weight", weights.a());
            parameters.put(PREFIX + name + ".lora_B.weight", weights.b());
        });
        whole.forEach((name, tensor) -> parameters.put(fileKey(name), tensor));
        return parameters;
    }

    /** The number of trained numbers. */
    public long parameterCount() {
        return parameters().values().stream()
                .mapToLong(t -> t.getShape().size())
                .sum();
    }

    /** peft keeps the bias of a module that has an adapter under the module that the adapter wraps. */
    private String fileKey(String tensor) {
        int dot = tensor.lastIndexOf('.');
        String module = tensor.substring(0, Math.max(dot, 0));
        return PREFIX + (modules.containsKey(module) ? module + ".base_layer" + tensor.substring(dot) : tensor);
    }

    /** Saves as {@link #save(Path, AdapterConfigFile)} with the base model's name. */
    public void save(Path directory, String baseModelNameOrPath) {
        save(directory, AdapterConfigFile.of(config, baseModelNameOrPath));
    }

    /**
     * Writes {@code adapter_model.safetensors} and {@code adapter_config.json} as peft does, each moved into place whole.
     *
     * @throws QloraException if the directory cannot be written
     */
    public void save(Path directory, AdapterConfigFile configFile) {
        try {
            Files.createDirectories(directory);
        } catch (IOException e) {
            throw new QloraException("Cannot make the directory " + directory + ": " + Reason.of(e), e);
        }
        SafetensorsWriter.writeAll(directory.resolve(WEIGHTS), Map.of("format", "pt"), new TreeMap<>(parameters()));
        configFile.write(directory);
    }

    /** Frees the tensors. */
    @Override
    public void close() {
        manager.close();
    }
}
