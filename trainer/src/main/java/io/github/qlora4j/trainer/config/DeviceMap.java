package io.github.qlora4j.trainer.config;

import java.util.Map;
import java.util.Optional;

/** Where the modules of the base lie: {@code model.device_map}. */
public sealed interface DeviceMap {

    /** It is worked out from the modules' sizes and {@code max_memory}, as accelerate does. */
    record Planned(Strategy strategy) implements DeviceMap {}

    /**
     * It is said module by module.
     *
     * @param devices by a module's name, {@code model.layers.0} for instance, which stands for all below it; "" is the
     *     whole model
     */
    record Modules(Map<String, Device> devices) implements DeviceMap {
        /** Takes a copy, in its order. */
        public Modules {
            devices = Ordered.copy(devices);
        }

        /** The device of a module: what the longest name says that stands for it; empty where none does. */
        public Optional<Device> device(String module) {
            String key = module;
            while (!devices.containsKey(key) && !key.isEmpty()) {
                key = key.contains(".") ? key.substring(0, key.lastIndexOf('.')) : "";
            }
            return Optional.ofNullable(devices.get(key));
        }
    }

    /** How several GPUs share a model; without GPUs all are the same. */
    enum Strategy {
        /** The same as balanced. */
        AUTO,
        /** Every GPU gets about as much. */
        BALANCED,
        /** The first GPU gets what the others have no room for. */
        BALANCED_LOW_0,
        /** A GPU is filled before the next one begins. */
        SEQUENTIAL
    }

    /** All of the model on one device. */
    static DeviceMap all(Device device) {
        return new Modules(Map.of("", device));
    }

    /**
     * Reads a map as {@code model.device_map} does.
     *
     * @param yaml {@code auto}, {@code cpu}, {@code disk}, or a map
     * @param name what to call it in messages
     * @throws ConfigException with every problem
     */
    static DeviceMap parse(String yaml, String name) {
        Report report = new Report();
        Object map = new Placements.DeviceMapType().read(YamlText.compose(yaml, name), "device_map", report);
        report.throwIfAny();
        return (DeviceMap) map;
    }

    /** {@code auto}. */
    static DeviceMap auto() {
        return new Planned(Strategy.AUTO);
    }
}
