package io.github.qlora4j.peft;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.safetensors.SafetensorsFile;
import io.github.qlora4j.quant.safetensors.TensorInfo;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Reads an adapter directory, refusing whatever it cannot account for. */
final class AdapterReader {

    private static final String SUFFIX_A = ".lora_A.weight";
    private static final String SUFFIX_B = ".lora_B.weight";

    private final Path directory;
    private final Path file;

    AdapterReader(Path directory) {
        this.directory = directory;
        this.file = directory.resolve(Adapter.WEIGHTS);
    }

    Adapter read(NDManager parent, List<ModuleInfo> modules, String modelType, Dtype dtype) {
        AdapterConfigFile configFile = AdapterConfigFile.readToLoad(directory);
        if (!Files.isRegularFile(file)) {
            throw missingFile();
        }
        try (SafetensorsFile tensors = SafetensorsFile.open(file)) {
            Map<String, TensorInfo> byName = new LinkedHashMap<>();
            tensors.tensors().forEach((key, info) -> {
                TensorInfo before = byName.put(baseName(key), info);
                if (before != null) {
                    throw new QloraException(file + ": tensors " + before.name() + " and " + key + " are both for "
                            + baseName(key) + ". One of them is unexpected.");
                }
            });
            List<Target> targets = modules == null
                    ? targetsOf(configFile.lora(), byName)
                    : AdapterConfigFile.named(
                            directory, () -> new TargetMatching(configFile.lora(), modelType).resolve(modules, false));
            Map<String, TensorInfo> whole = check(configFile.lora(), targets, modules, byName);
            Dtype stored = byName.get(targets.get(0).name() + SUFFIX_A).dtype();
            Adapter adapter = new Adapter(parent, configFile.lora(), dtype == null ? stored : dtype);
            try {
                adapter.baseModel(configFile.baseModelNameOrPath());
                adapter.file(file);
                for (Target target : targets) {
                    NDArray a = read(adapter, tensors, byName.get(target.name() + SUFFIX_A));
                    NDArray b = read(adapter, tensors, byName.get(target.name() + SUFFIX_B));
                    adapter.put(new LoraWeights(target.name(), target.r(), a, b, target.scaling()));
                }
                whole.forEach((name, info) -> adapter.putWhole(name, read(adapter, tensors, info)));
                return adapter;
            } catch (RuntimeException e) {
                adapter.close();
                throw e;
            }
        }
    }

    private NDArray read(Adapter adapter, SafetensorsFile tensors, TensorInfo info) {
        NDArray stored = tensors.read(adapter.manager(), info.name());
        if (!Torch.isFinite(stored)) {
            throw new QloraException(file + ": tensor " + info.name() + " holds NaN or infinity. The file is damaged,"
                    + " or the training that wrote it went wrong.");
        }
        if (info.dtype() == adapter.dtype()) {
            return stored;
        }
        try (stored) {
            return Torch.cast(adapter.manager(), stored, adapter.dtype());
        }
    }

    private QloraException missingFile() {
        Path pickle = directory.resolve("adapter_model.bin");
        if (Files.isRegularFile(pickle)) {
            return new QloraException(pickle + " is a pickle, which can run code when it is read; it is never opened."
                    + " Convert it where you trust it, with Python: import torch, safetensors.torch;"
                    + " safetensors.torch.save_file(torch.load('adapter_model.bin', weights_only=True),"
                    + " 'adapter_model.safetensors', metadata={'format': 'pt'})");
        }
        return new QloraException(directory + " has no " + Adapter.WEIGHTS + ".");
    }

    /** Turns a key of the file into the name that the tensor has, or would have, in the base. */
    private String baseName(String key) {
        if (!key.startsWith(Adapter.PREFIX)) {
            throw new QloraException(
                    file + ": tensor " + key + " is unexpected: names of a LoRA adapter begin with " + Adapter.PREFIX);
        }
        for (String part :
                List.of(".lora_embedding_A", ".lora_embedding_B", ".lora_magnitude_vector", ".lora_B.bias")) {
            if (key.contains(part)) {
                throw new QloraException(file + ": tensor " + key + " is not supported (" + part.substring(1)
                        + "). Only LoRA on linear modules is: pairs of lora_A.weight and lora_B.weight.");
            }
        }
        return key.substring(Adapter.PREFIX.length())
                .replace(".base_layer.", ".")
                .replace(".modules_to_save.", ".");
    }

    /** Finds the targets by the tensors' own names and shapes, where the base is not at hand. */
    private List<Target> targetsOf(LoraConfig config, Map<String, TensorInfo> byName) {
        List<ModuleInfo> modules = new ArrayList<>();
        byName.forEach((name, info) -> {
            if (name.endsWith(SUFFIX_A)) {
                String module = name.substring(0, name.length() - SUFFIX_A.length());
                TensorInfo b = byName.get(module + SUFFIX_B);
                if (b == null || info.shape().length != 2 || b.shape().length != 2) {
                    throw new QloraException(file + ": " + module + " must have " + SUFFIX_A.substring(1) + " and "
                            + SUFFIX_B.substring(1) + ", both with two dimensions.");
                }
                modules.add(ModuleInfo.linear(module, b.shape()[0], info.shape()[1]));
            }
        });
        if (modules.isEmpty()) {
            throw new QloraException(file + ": there is no tensor named " + Adapter.PREFIX + "…" + SUFFIX_A + ".");
        }
        List<String> names = modules.stream().map(ModuleInfo::name).toList();
        LoraConfig named = config.toBuilder()
                .optTargetModules(new TargetModules.Names(names))
                .optExcludeModules(new TargetModules.Names(List.of()))
                .optLayersToTransform(List.of())
                .optLayersPattern(List.of())
                .optModulesToSave(List.of())
                .build();
        return new TargetMatching(named, null).resolve(modules, false);
    }

    /** Checks names and shapes; returns the tensors that are kept whole. */
    private Map<String, TensorInfo> check(
            LoraConfig config, List<Target> targets, List<ModuleInfo> modules, Map<String, TensorInfo> byName) {
        Set<String> expected = new LinkedHashSet<>();
        for (Target target : targets) {
            checkShape(
                    expected,
                    byName,
                    target.name() + SUFFIX_A,
                    target.r(),
                    target.module().cols());
            checkShape(
                    expected, byName, target.name() + SUFFIX_B, target.module().rows(), target.r());
        }
        Map<String, ModuleInfo> base = new HashMap<>();
        if (modules != null) {
            modules.forEach(m -> base.put(m.name(), m));
            for (ModuleInfo saved :
                    AdapterConfigFile.named(directory, () -> TargetModules.resolveModulesToSave(config, modules))) {
                if (saved.rows() > 0 && !byName.containsKey(saved.name() + ".weight")) {
                    throw missing(saved.name() + ".weight");
                }
            }
        }
        Map<String, TensorInfo> whole = new LinkedHashMap<>();
        byName.forEach((name, info) -> {
            if (!expected.contains(name)) {
                if (modules == null) {
                    checkNotLora(name, info);
                } else {
                    checkWhole(config, base, name, info);
                }
                whole.put(name, info);
            }
        });
        return whole;
    }

    private void checkShape(Set<String> expected, Map<String, TensorInfo> byName, String name, long... shape) {
        TensorInfo info = byName.get(name);
        if (info == null) {
            throw missing(name);
        }
        checkShape(info, shape);
        expected.add(name);
    }

    private void checkShape(TensorInfo info, long... shape) {
        if (!Arrays.equals(info.shape(), shape)) {
            throw new QloraException(file + ": tensor " + info.name() + " has shape " + Arrays.toString(info.shape())
                    + ". The base and " + AdapterConfigFile.NAME + " ask for " + Arrays.toString(shape)
                    + ". Is this the base that the adapter was trained on?");
        }
        if (!info.dtype().isFloating()) {
            throw new QloraException(file + ": tensor " + info.name() + " is "
                    + info.dtype().torchName() + ". A floating dtype is expected.");
        }
    }

    private QloraException missing(String name) {
        return new QloraException(file + ": tensor " + Adapter.PREFIX + name + " is missing. " + AdapterConfigFile.NAME
                + " asks for it on this base.");
    }

    private void checkNotLora(String name, TensorInfo info) {
        if (name.contains(".lora_")) {
            throw unexpected(info);
        }
    }

    private void checkWhole(LoraConfig config, Map<String, ModuleInfo> base, String name, TensorInfo info) {
        int dot = name.lastIndexOf('.');
        ModuleInfo module = dot < 0 ? null : base.get(name.substring(0, dot));
        if (module == null || name.contains(".lora_")) {
            throw unexpected(info);
        }
        boolean isSaved = config.modulesToSave().stream().anyMatch(module.name()::endsWith);
        if (name.endsWith(".bias")) {
            if (config.bias() == Bias.NONE && !isSaved) {
                throw unexpected(info);
            }
            checkShape(info, module.rows());
        } else if (name.endsWith(".weight")) {
            // peft saves embeddings and the output head also where the vocabulary was resized or they are targets
            boolean isVocabulary = module.isOutputHead() || !module.isLinear() && module.cols() > 0;
            if (!isSaved && !isVocabulary) {
                throw unexpected(info);
            }
            if (module.rows() > 0) {
                checkShape(
                        info,
                        module.cols() > 0 ? new long[] {module.rows(), module.cols()} : new long[] {module.rows()});
            }
        } else {
            throw unexpected(info);
        }
    }

    private QloraException unexpected(TensorInfo info) {
        return new QloraException(file + ": tensor " + info.name() + " is unexpected. " + AdapterConfigFile.NAME
                + " does not ask for it on this base.");
    }
}
