package io.github.qlora4j.trainer.config;

import java.util.Map;

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

    /** {@code auto}. */
    static DeviceMap auto() {
        return new Planned(Strategy.AUTO);
    }
}
