package io.github.qlora4j.trainer.cli;

import io.github.qlora4j.trainer.config.ConfigException;
import io.github.qlora4j.trainer.config.Device;
import io.github.qlora4j.trainer.config.DeviceMap;
import io.github.qlora4j.trainer.config.MemorySize;
import io.github.qlora4j.trainer.config.ModelSection;
import io.github.qlora4j.trainer.config.Precision;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import picocli.CommandLine.Option;

/** The flags that say where the weights of a base lie; their names are those of {@code from_pretrained}. */
final class PlacementFlags {
    @Option(
            names = "--device-map",
            paramLabel = "MAP",
            description =
                    "Where the base lies: auto, cpu (the default), disk, a map from modules to devices, or a YAML or"
                            + " JSON file of one, such as '{\"\": cpu, model.layers.3: disk}'.")
    private String deviceMap;

    @Option(
            names = "--max-memory",
            paramLabel = "DEVICE=SIZE",
            split = ",",
            description =
                    "With --device-map auto: what the base may take, cpu=2GiB for instance; what is free by default.")
    private Map<String, String> maxMemory = new LinkedHashMap<>();

    @Option(
            names = "--offload-folder",
            paramLabel = "DIR",
            description = "Where blocks are written that are quantized while loading and lie on the disk.")
    private Path offloadFolder;

    @Option(
            names = "--llm-int8-enable-fp32-cpu-offload",
            description = "Modules that --device-map puts on the disk stay unquantized, in float32.")
    private boolean fp32Offload;

    /** Whether any of them was given. */
    boolean given() {
        return deviceMap != null || !maxMemory.isEmpty() || offloadFolder != null || fp32Offload;
    }

    /** Whether modules on the disk stay in float32. */
    boolean fp32Offload() {
        return fp32Offload;
    }

    /**
     * The section about a base.
     *
     * @param quantizes whether the base is quantized while it is loaded
     * @throws WrongUse where a flag says nothing that can be followed
     */
    ModelSection section(Path model, Precision dtype, boolean quantizes) {
        DeviceMap map = map();
        if (fp32Offload && !quantizes) {
            throw new WrongUse("--llm-int8-enable-fp32-cpu-offload needs --load-in-8bit or --load-in-4bit");
        }
        if (!maxMemory.isEmpty() && !(map instanceof DeviceMap.Planned)) {
            throw new WrongUse("--max-memory needs --device-map auto");
        }
        if (offloadFolder != null && map == null) {
            throw new WrongUse("--offload-folder needs --device-map, which says what lies on the disk");
        }
        if (fp32Offload && !(map instanceof DeviceMap.Modules)) {
            throw new WrongUse(
                    "--llm-int8-enable-fp32-cpu-offload needs --device-map to be a map that says which modules"
                            + " are on the disk");
        }
        return new ModelSection(model, dtype, false, map, limits(), offloadFolder);
    }

    private DeviceMap map() {
        if (deviceMap == null) {
            return null;
        }
        try {
            Path file = file();
            return DeviceMap.parse(
                    file == null ? deviceMap : Files.readString(file), file == null ? "--device-map" : file.toString());
        } catch (ConfigException e) {
            throw new WrongUse(e);
        } catch (IOException e) {
            throw new WrongUse("--device-map: " + deviceMap + " cannot be read: it is not a file of UTF-8 text");
        }
    }

    /** The file that the flag names; null where it names none. */
    private Path file() {
        try {
            Path file = Path.of(deviceMap);
            return Files.isRegularFile(file) ? file : null;
        } catch (InvalidPathException e) {
            return null;
        }
    }

    private Map<Device, MemorySize> limits() {
        Map<Device, MemorySize> limits = new LinkedHashMap<>();
        maxMemory.forEach((device, size) -> {
            try {
                limits.put(Device.parse(device), MemorySize.parse(size));
            } catch (IllegalArgumentException e) {
                throw new WrongUse("--max-memory " + device + "=" + size + ": expected " + e.getMessage()
                        + "; write cpu=2GiB for instance");
            }
        });
        return limits;
    }
}
