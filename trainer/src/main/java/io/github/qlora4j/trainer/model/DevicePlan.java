package io.github.qlora4j.trainer.model;

import io.github.qlora4j.trainer.config.Device;
import io.github.qlora4j.trainer.config.DeviceMap;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Divides a model among devices as accelerate 1.15.0 does: GPUs first, then memory, then the disk.
 *
 * <p>In memory, and on the first GPU, the largest layer that is still to come is kept free, so that what lies on a slower
 * device can be brought there. Ported from {@code infer_auto_device_map} and {@code get_balanced_memory} of
 * accelerate/utils/modeling.py, without what a decoder never needs: tied modules are not divided, and no module has
 * tensors beside children.
 */
final class DevicePlan {

    private final List<Device> devices;
    private final Map<Device, Double> limits;
    private final Set<Device> reserving = new HashSet<>();
    private final boolean tied;
    private final Map<Device, Double> used = new HashMap<>();
    private final Map<String, Device> found = new LinkedHashMap<>();
    private final Deque<ModuleTree> open = new ArrayDeque<>();
    private double largest;
    private Set<String> largestNames = Set.of();

    private DevicePlan(ModuleTree model, boolean tied, Map<Device, Double> limits) {
        this.limits = limits;
        this.tied = tied;
        this.devices = new ArrayList<>(sorted(limits.keySet()));
        if (!devices.contains(Device.DISK)) {
            devices.add(Device.DISK);
        }
        reserving.add(Device.CPU);
        if (devices.get(0).isGpu()) {
            reserving.add(devices.get(0));
        }
        open.addAll(model.children());
    }

    /**
     * The device of each module, the shortest names that say it.
     *
     * @param tied whether the head is the embedding table
     * @param limits bytes of the devices there are; the disk has none
     */
    static Map<String, Device> infer(ModuleTree model, boolean tied, Map<Device, Double> limits) {
        DevicePlan plan = new DevicePlan(model, tied, limits);
        plan.run();
        clean(plan.found, "");
        return plan.found;
    }

    private static List<Device> sorted(Collection<Device> devices) {
        // GPUs by number, then memory (-1), then the disk (-2)
        return devices.stream()
                .sorted(Comparator.comparing((Device d) -> !d.isGpu())
                        .thenComparing(d -> d.isGpu() ? d.index() : -d.index()))
                .toList();
    }

    private void run() {
        int at = 0;
        measure();
        while (!open.isEmpty()) {
            ModuleTree module = open.removeFirst();
            largestNames.removeIf(module::holds);
            if (largestNames.isEmpty()) {
                measure();
            }
            Device device = devices.get(at);
            double reserved = reserving.contains(device) ? largest : 0;
            double room = device.equals(Device.DISK) ? Double.POSITIVE_INFINITY : limits.get(device) - reserved;
            List<ModuleTree> with = tiedTo(module);
            double before = used.getOrDefault(device, 0.0);
            double bytes = module.bytes()
                    + with.stream().mapToDouble(ModuleTree::bytes).sum();
            if (before + bytes <= room) {
                used.put(device, before + bytes);
                found.put(module.name(), device);
                open.removeAll(with);
                with.forEach(other -> found.put(other.name(), device));
            } else if (before + module.bytes() >= room && !module.isLayer()) {
                for (int i = module.children().size() - 1; i >= 0; i--) {
                    open.addFirst(module.children().get(i));
                }
                measure();
            } else {
                used.put(device, before + reserved);
                at++;
                open.addFirst(module);
            }
        }
    }

    /** The largest layer still to be placed: {@code get_max_layer_size}. */
    private void measure() {
        largest = 0;
        largestNames = new HashSet<>();
        Deque<ModuleTree> modules = new ArrayDeque<>(open);
        while (!modules.isEmpty()) {
            ModuleTree module = modules.removeFirst();
            if (!module.isLayer()) {
                modules.addAll(module.children());
            } else if (module.bytes() >= largest) {
                if (module.bytes() > largest) {
                    largestNames.clear();
                }
                largest = module.bytes();
                largestNames.add(module.name());
            }
        }
    }

    /** The modules still to be placed that share a tensor with this one; what they share is counted in one of them. */
    private List<ModuleTree> tiedTo(ModuleTree module) {
        if (!tied || module.all().allMatch(m -> m.tensor().isEmpty())) {
            return List.of();
        }
        return open.stream()
                .filter(other -> other.all().anyMatch(m -> !m.tensor().isEmpty()))
                .toList();
    }

    /** Puts modules of one device together under their parent: {@code clean_device_map}. */
    private static void clean(Map<String, Device> map, String name) {
        String prefix = name.isEmpty() ? "" : name + ".";
        List<String> below =
                map.keySet().stream().filter(key -> key.startsWith(prefix)).toList();
        if (below.size() > 1 && below.stream().map(map::get).distinct().count() == 1) {
            Device device = map.get(below.get(0));
            below.forEach(map::remove);
            map.put(name, device);
            return;
        }
        int length = prefix.length();
        below.stream()
                .filter(key -> key.length() > length)
                .map(key -> key.indexOf('.', length) < 0 ? key : key.substring(0, key.indexOf('.', length)))
                .distinct()
                .forEach(child -> clean(map, child));
    }

    /**
     * Limits under which GPUs share a model evenly.
     *
     * @param limits bytes of the devices there are
     * @param given whether the user gave them; else a lone GPU keeps a tenth free
     */
    static Map<Device, Double> balanced(
            ModuleTree model, Map<Device, Double> limits, boolean given, DeviceMap.Strategy strategy) {
        Map<Device, Double> result = new LinkedHashMap<>(limits);
        List<Device> gpus = sorted(limits.keySet()).stream()
                .filter(device -> device.isGpu() && limits.get(device) > 0)
                .toList();
        if (gpus.isEmpty() || strategy == DeviceMap.Strategy.SEQUENTIAL) {
            return result;
        }
        boolean low = strategy == DeviceMap.Strategy.BALANCED_LOW_0 && gpus.size() > 1;
        if (gpus.size() == 1 && !given) {
            result.computeIfPresent(gpus.get(0), (gpu, bytes) -> bytes * 0.9);
        }
        double block = model.all()
                .filter(ModuleTree::whole)
                .findFirst()
                .map(ModuleTree::bytes)
                .orElse(0.0);
        double mean = Math.floor(model.all()
                .filter(module -> module.children().isEmpty() && module.bytes() > 0)
                .mapToDouble(ModuleTree::bytes)
                .average()
                .orElse(0));
        double each = Math.floor(model.bytes() / (low ? gpus.size() - 1 : gpus.size()))
                + Math.floor(1.25 * Math.max(block, mean));
        // the last one takes what is left
        for (Device gpu : gpus.subList(0, gpus.size() - 1)) {
            result.merge(gpu, low && gpu.index() == 0 ? result.get(gpu) : each, Math::min);
        }
        if (low) {
            double others = gpus.stream()
                    .filter(gpu -> gpu.index() != 0)
                    .mapToDouble(result::get)
                    .sum();
            result.computeIfPresent(
                    new Device(0), (gpu, bytes) -> Math.min(bytes, Math.max(0, model.bytes() - others)));
        }
        return result;
    }
}
