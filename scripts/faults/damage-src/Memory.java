package damage;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** What this process holds, by {@code /proc}; all 0 where there is none. */
record Memory(long resident0, long virtual0) {

    private static final Path STATUS = Path.of("/proc/self/status");

    /** Sets the peak back and takes what is held now. */
    static Memory begin() throws IOException {
        if (Files.isWritable(Path.of("/proc/self/clear_refs"))) {
            Files.writeString(Path.of("/proc/self/clear_refs"), "5");
        }
        return new Memory(resident(), field("VmPeak:"));
    }

    /** How far the peaks rose since {@link #begin}. */
    Memory grown() throws IOException {
        return new Memory(field("VmHWM:") - resident0, field("VmPeak:") - virtual0);
    }

    static long resident() throws IOException {
        return field("VmRSS:");
    }

    private static long field(String name) throws IOException {
        if (!Files.isReadable(STATUS)) {
            return 0;
        }
        return Files.readAllLines(STATUS).stream()
                .filter(line -> line.startsWith(name))
                .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")) << 10)
                .findFirst()
                .orElse(0);
    }
}
