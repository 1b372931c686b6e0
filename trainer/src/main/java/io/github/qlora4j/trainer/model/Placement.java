package io.github.qlora4j.trainer.model;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.trainer.config.Device;
import io.github.qlora4j.trainer.config.DeviceMap;
import io.github.qlora4j.trainer.config.MemorySize;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.ToDoubleBiFunction;
import java.util.stream.IntStream;

/**
 * The device of each module of a decoder.
 *
 * @param config the model
 * @param devices by a module's name, which stands for all below it; every module has one, and no block is divided
 */
public record Placement(ModelConfig config, Map<String, Device> devices) {

    static final String EMBEDDINGS = "model.embed_tokens";
    static final String HEAD = "lm_head";
    private static final String BLOCKS = "model.layers";

    /** What transformers leaves free of a device: a tenth where nobody gave a limit, and another for bitsandbytes. */
    private static final double SHARE = 0.9;

    /** Takes a copy, in its order. */
    public Placement {
        devices = java.util.Collections.unmodifiableMap(new LinkedHashMap<>(devices));
    }

    /** All in memory. */
    public static Placement inMemory(ModelConfig config) {
        return new Placement(config, Map.of("", Device.CPU));
    }

    /**
     * Finds or checks the devices that were asked for.
     *
     * @param linearBytes what the matrix of a linear layer takes, by its full name
     * @param rest the dtype of everything else
     * @param bitsandbytes whether bitsandbytes quantizes the base, for which transformers leaves a tenth free
     * @throws QloraException if the map names what the model has not, leaves a module out, or divides a block
     */
    public static Placement of(
            ModelConfig config,
            PlacementOptions options,
            ToDoubleBiFunction<String, Family.Linear> linearBytes,
            Dtype rest,
            boolean bitsandbytes) {
        if (options.map().isEmpty()) {
            return inMemory(config);
        }
        ModuleTree model = ModuleTree.of(config, linearBytes::applyAsDouble, rest);
        if (options.map().get() instanceof DeviceMap.Planned planned) {
            Map<Device, Double> limits = DevicePlan.balanced(
                    model, limits(options), !options.maxMemory().isEmpty(), planned.strategy());
            if (bitsandbytes) {
                limits.replaceAll((device, bytes) -> bytes * SHARE);
            }
            return new Placement(config, DevicePlan.infer(model, config.tieWordEmbeddings(), limits));
        }
        Placement placement =
                new Placement(config, ((DeviceMap.Modules) options.map().get()).devices());
        placement.check(model);
        return placement;
    }

    private static Map<Device, Double> limits(PlacementOptions options) {
        Map<Device, Double> limits = new LinkedHashMap<>();
        if (options.maxMemory().isEmpty()) {
            if (options.freeBytes() == 0) {
                throw new QloraException("model.device_map: auto: how much memory is free is not known on this machine;"
                        + " say what the base may take, model.max_memory: {cpu: 4GB} for instance");
            }
            limits.put(Device.CPU, options.freeBytes() * SHARE);
        }
        for (Map.Entry<Device, MemorySize> limit : options.maxMemory().entrySet()) {
            limits.put(limit.getKey(), (double) limit.getValue().bytes());
        }
        return limits;
    }

    private void check(ModuleTree model) {
        List<String> names = model.all().map(ModuleTree::name).toList();
        List<String> unknown =
                devices.keySet().stream().filter(key -> !names.contains(key)).toList();
        if (!unknown.isEmpty()) {
            throw wrong("the model has no module " + String.join(", ", unknown) + "; it has "
                    + String.join(", ", EMBEDDINGS, BLOCKS + ".0", "…", "model.norm", HEAD));
        }
        DeviceMap.Modules map = new DeviceMap.Modules(devices);
        List<String> left = model.all()
                .filter(module -> module.children().isEmpty() && !module.name().equals("model.rotary_emb"))
                .map(ModuleTree::name)
                .filter(name -> map.device(name).isEmpty())
                .toList();
        if (!left.isEmpty()) {
            throw wrong("it says nothing of " + left.get(0)
                    + (left.size() > 1 ? " and " + (left.size() - 1) + " more modules" : "")
                    + "; add them, or \"\": cpu for all that is not named");
        }
        model.all().filter(ModuleTree::whole).forEach(block -> {
            List<Device> of = block.all()
                    .filter(module -> module.children().isEmpty())
                    .map(module -> device(module.name()))
                    .distinct()
                    .toList();
            if (of.size() > 1) {
                throw wrong(block.name() + " is divided among " + of + "; a block lies on one device");
            }
        });
    }

    private static QloraException wrong(String problem) {
        return new QloraException("model.device_map: " + problem);
    }

    /** The device of a module, {@code model.layers.0.mlp} for instance. */
    public Device device(String module) {
        return new DeviceMap.Modules(devices).device(module).orElse(Device.CPU);
    }

    /** The device of a block: all of it lies there. */
    public Device block(int index) {
        String name = BLOCKS + "." + index;
        return devices.entrySet().stream()
                .filter(entry -> entry.getKey().startsWith(name + "."))
                .map(Map.Entry::getValue)
                .findFirst()
                .orElseGet(() -> device(name));
    }

    /** How many blocks lie on a device. */
    public int blocks(Device device) {
        return (int) IntStream.range(0, config.numHiddenLayers())
                .filter(i -> block(i).equals(device))
                .count();
    }

    /** Whether the embeddings are read from the disk; a head that is the same table keeps them in memory with it. */
    public boolean embeddingsOnDisk() {
        return onDisk(EMBEDDINGS) && (!config.tieWordEmbeddings() || onDisk(HEAD));
    }

    /** Whether the head is read from the disk; likewise. */
    public boolean headOnDisk() {
        return onDisk(HEAD) && (!config.tieWordEmbeddings() || onDisk(EMBEDDINGS));
    }

    /** Whether the embeddings stay in memory. */
    public boolean embeddingsInMemory() {
        return !embeddingsOnDisk() && !device(EMBEDDINGS).isGpu();
    }

    /** Whether the head stays in memory. */
    public boolean headInMemory() {
        return !headOnDisk() && !device(HEAD).isGpu();
    }

    private boolean onDisk(String module) {
        return device(module).equals(Device.DISK);
    }

    /** Whether any module lies on a GPU. */
    public boolean usesGpu() {
        return devices.values().stream().anyMatch(Device::isGpu);
    }

    /** Whether any weight is read from the disk for its use. */
    public boolean usesDisk() {
        return embeddingsOnDisk() || headOnDisk() || blocks(Device.DISK) > 0;
    }

    /**
     * Checks that this machine can do it.
     *
     * @throws QloraException where a module lies on a GPU
     */
    void requireNoGpu() {
        devices.forEach((module, device) -> {
            if (device.isGpu()) {
                throw wrong((module.isEmpty() ? "the model" : module) + " would lie on GPU " + device
                        + ", and nothing computes on GPUs yet\n  Use cpu and disk alone: in device_map, or in max_memory"
                        + " under device_map: auto. The plan itself is shown by the verb plan.");
            }
        });
    }

    /** What lies where, a phrase for each device. */
    public List<String> lines() {
        Map<Device, List<String>> parts = new LinkedHashMap<>();
        add(parts, device(EMBEDDINGS), "embeddings");
        int blocks = config.numHiddenLayers();
        for (int from = 0; from < blocks; ) {
            int to = from + 1;
            while (to < blocks && block(to).equals(block(from))) {
                to++;
            }
            add(parts, block(from), to == from + 1 ? "block " + from : "blocks " + from + " to " + (to - 1));
            from = to;
        }
        add(parts, device(HEAD), config.tieWordEmbeddings() ? "head (the embeddings)" : "head");
        List<String> lines = new ArrayList<>();
        parts.forEach((device, names) ->
                lines.add((device.isGpu() ? "GPU " + device : device.equals(Device.CPU) ? "in memory" : "on the disk")
                        + ": " + String.join(", ", names)));
        return lines;
    }

    private static void add(Map<Device, List<String>> parts, Device device, String name) {
        parts.computeIfAbsent(device, d -> new ArrayList<>()).add(name);
    }
}
