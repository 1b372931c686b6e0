package io.github.qlora4j.trainer.model;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.trainer.config.Device;
import io.github.qlora4j.trainer.config.DeviceMap;
import io.github.qlora4j.trainer.config.MemorySize;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;

/**
 * Where a base is asked to lie.
 *
 * @param map the devices of its modules, or how they are found; empty keeps all in memory
 * @param maxMemory what each device may hold of the base; empty takes what is free
 * @param offloadFolder where blocks are written that are quantized while loading and lie on the disk
 * @param fp32Offload linear layers on the disk stay unquantized, in float32
 * @param freeBytes memory that can still be taken; 0 where it is unknown
 */
public record PlacementOptions(
        Optional<DeviceMap> map,
        Map<Device, MemorySize> maxMemory,
        Optional<Path> offloadFolder,
        boolean fp32Offload,
        long freeBytes) {

    /** Takes a copy of the map. */
    public PlacementOptions {
        maxMemory = Map.copyOf(maxMemory);
    }

    /** Refuses a flag that a plan would make mean another thing at each start. */
    void check() {
        if (fp32Offload && !(map.orElse(null) instanceof DeviceMap.Modules)) {
            throw new QloraException(
                    "llm_int8_enable_fp32_cpu_offload needs a device_map that says which modules are on the" + " disk");
        }
    }

    /** Whether a linear layer is on the disk, and stays in float32 there. */
    boolean keepsFloat32(String module) {
        return fp32Offload
                && map.orElse(null) instanceof DeviceMap.Modules modules
                && modules.device(module).equals(Optional.of(Device.DISK));
    }

    /** All of it in memory. */
    public static PlacementOptions inMemory() {
        return new PlacementOptions(Optional.empty(), Map.of(), Optional.empty(), false, 0);
    }

    /** As a map says. */
    public static PlacementOptions of(DeviceMap map) {
        return new PlacementOptions(Optional.of(map), Map.of(), Optional.empty(), false, 0);
    }

    /** The same with a folder for quantized blocks. */
    public PlacementOptions withOffloadFolder(Path folder) {
        return new PlacementOptions(map, maxMemory, Optional.of(folder), fp32Offload, freeBytes);
    }
}
