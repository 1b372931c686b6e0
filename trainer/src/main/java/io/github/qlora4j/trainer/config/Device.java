package io.github.qlora4j.trainer.config;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Where a module of the base lies, under accelerate's names: a GPU's number, {@code cpu} (memory), or {@code disk}.
 *
 * @param index the GPU's number; -1 for memory and -2 for the disk
 */
public record Device(int index) {

    /** Memory. */
    public static final Device CPU = new Device(-1);

    /** The disk: read for each use. */
    public static final Device DISK = new Device(-2);

    /** What a device must look like, for messages. */
    static final String EXPECTED = "cpu, disk, or the number of a GPU";

    private static final Pattern GPU = Pattern.compile("(?:cuda:)?(\\d{1,4})");

    /** Refuses what is no device. */
    public Device {
        if (index < -2) {
            throw new IllegalArgumentException(EXPECTED);
        }
    }

    /**
     * Reads a device; {@code cuda:0} is {@code 0}.
     *
     * @throws IllegalArgumentException where the text is none
     */
    public static Device parse(String text) {
        Matcher gpu = GPU.matcher(text);
        if (gpu.matches()) {
            return new Device(Integer.parseInt(gpu.group(1)));
        }
        return switch (text) {
            case "cpu" -> CPU;
            case "disk" -> DISK;
            default -> throw new IllegalArgumentException(EXPECTED);
        };
    }

    /** Whether it is neither memory nor the disk. */
    public boolean isGpu() {
        return index >= 0;
    }

    /** {@code cpu}, {@code disk}, or the number. */
    @Override
    public String toString() {
        return index == -1 ? "cpu" : index == -2 ? "disk" : Integer.toString(index);
    }
}
