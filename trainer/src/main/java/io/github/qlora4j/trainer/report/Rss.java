package io.github.qlora4j.trainer.report;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * How much memory this process has, had, and can still get, in bytes.
 *
 * <p>Linux tells all of it ({@code /proc}, control groups). Elsewhere the process's own figures are 0, which means
 * unknown, and the free memory is what Java's management bean says.
 */
public final class Rss {
    private static final Path STATUS = Path.of("/proc/self/status");
    private static final Path CLEAR_REFS = Path.of("/proc/self/clear_refs");
    private static final Path MEMINFO = Path.of("/proc/meminfo");
    private static final Path CGROUP = Path.of("/proc/self/cgroup");
    private static final Path CGROUP_ROOT = Path.of("/sys/fs/cgroup");

    private Rss() {}

    /** The high-water mark of this process's resident memory; 0 where it is unknown. */
    public static long peakBytes() {
        return kilobytes(text(STATUS), "VmHWM");
    }

    /** Lets {@link #peakBytes} begin anew from what is resident now; false where the system cannot. */
    public static boolean resetPeak() {
        try {
            // proc(5): 5 resets the peak resident set size to the current one
            Files.writeString(CLEAR_REFS, "5");
            return true;
        } catch (IOException | SecurityException e) {
            return false;
        }
    }

    /** This process's resident memory now; 0 where it is unknown. */
    public static long bytes() {
        return kilobytes(text(STATUS), "VmRSS");
    }

    /** What can still be taken without swapping: of the machine, or of the container where that is less; 0 if unknown. */
    public static long freeBytes() {
        long machine = kilobytes(text(MEMINFO), "MemAvailable");
        if (machine == 0) {
            machine = bean() == null ? 0 : bean().getFreeMemorySize();
        }
        return Math.min(machine, cgroupFree(text(CGROUP), CGROUP_ROOT));
    }

    /** The memory of the machine, or of the container where that is less; 0 if unknown. */
    public static long totalBytes() {
        long machine = kilobytes(text(MEMINFO), "MemTotal");
        if (machine == 0) {
            machine = bean() == null ? 0 : bean().getTotalMemorySize();
        }
        return machine;
    }

    /** What is left under the tightest limit of the control groups named in {@code /proc/self/cgroup}'s text. */
    static long cgroupFree(String groups, Path root) {
        Matcher second = Pattern.compile("(?m)^0::/(.*)$").matcher(groups);
        Matcher first =
                Pattern.compile("(?m)^\\d+:(?:[^:]*,)?memory(?:,[^:]*)?:/(.*)$").matcher(groups);
        // a container may see its own group at the top, and yet the name that the machine has for it
        return Math.min(
                least(root, second.find() ? second.group(1) : "", "memory.current", "memory.max"),
                least(
                        root.resolve("memory"),
                        first.find() ? first.group(1) : "",
                        "memory.usage_in_bytes",
                        "memory.limit_in_bytes"));
    }

    /** The least that a group, or one that it is part of, has left. */
    private static long least(Path top, String name, String used, String limit) {
        long least = Long.MAX_VALUE;
        Path group = top.resolve(name).normalize();
        while (group != null && group.startsWith(top)) {
            long taken = number(group.resolve(used)) - reclaimable(group.resolve("memory.stat"));
            least = Math.min(least, left(number(group.resolve(limit)), taken));
            group = group.getParent();
        }
        return least;
    }

    /** -1 stands for a limit that is not set. */
    private static long left(long limit, long used) {
        return limit < 0 || limit > 1L << 60 ? Long.MAX_VALUE : Math.max(0, limit - Math.max(0, used));
    }

    /** Cached file pages count as used and are given back on demand. */
    private static long reclaimable(Path stat) {
        Matcher found =
                Pattern.compile("(?m)^(?:total_)?inactive_file (\\d{1,18})$").matcher(text(stat));
        long pages = 0;
        while (found.find()) {
            // with and without the groups below
            pages = Math.max(pages, Long.parseLong(found.group(1)));
        }
        return pages;
    }

    private static long number(Path file) {
        String text = text(file).strip();
        return text.matches("\\d{1,18}") ? Long.parseLong(text) : -1;
    }

    private static long kilobytes(String text, String key) {
        Matcher found = Pattern.compile("(?m)^" + key + ":\\s*(\\d{1,15}) kB$").matcher(text);
        return found.find() ? Long.parseLong(found.group(1)) << 10 : 0;
    }

    private static String text(Path file) {
        try {
            return Files.isReadable(file) ? Files.readString(file) : "";
        } catch (IOException | SecurityException e) {
            return "";
        }
    }

    private static com.sun.management.OperatingSystemMXBean bean() {
        return ManagementFactory.getOperatingSystemMXBean() instanceof com.sun.management.OperatingSystemMXBean bean
                ? bean
                : null;
    }
}
