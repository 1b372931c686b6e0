package io.github.qlora4j.quant.torch;

import com.sun.jna.Function;
import com.sun.jna.NativeLibrary;
import com.sun.jna.Platform;
import java.util.Map;

/**
 * What the C libraries beneath the engine are told before it is loaded; whatever the environment says already stands.
 *
 * <p>glibc gives large blocks back to the system when they are freed and has them cleared page by page when they are
 * wanted again; a step of training frees and wants the same blocks over and over, and spent up to a third of its time
 * there. So freed memory is kept, and one arena serves all threads. Waiting threads of libgomp give their core away
 * soon, or they hold up those they wait for on a busy machine. oneDNN keeps fewer kernels: each length of rows compiles
 * some anew, and a thousand of them take hundreds of megabytes.
 */
final class ProcessSettings {

    // malloc.h
    private static final int M_TRIM_THRESHOLD = -1;
    private static final int M_TOP_PAD = -2;
    private static final int M_MMAP_THRESHOLD = -3;
    private static final int M_ARENA_MAX = -8;

    private static final int TOP_PAD = 64 << 20;
    private static final int MOST = 1 << 30;

    /** What glibc before 2.35 takes at most. */
    private static final int OLD_MOST = 32 << 20;

    private static final Map<String, String> DEFAULTS = Map.of(
            "GOMP_SPINCOUNT", "100000",
            "ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128",
            "LRU_CACHE_CAPACITY", "128");

    private ProcessSettings() {}

    static void apply() {
        if (!Platform.isLinux()) {
            return;
        }
        try {
            NativeLibrary libc = NativeLibrary.getInstance("c");
            Function setenv = libc.getFunction("setenv");
            DEFAULTS.forEach((name, value) -> setenv.invokeInt(new Object[] {name, value, 0}));
            if (System.getenv().keySet().stream().noneMatch(ProcessSettings::isAboutMalloc)) {
                keepFreedMemory(libc.getFunction("mallopt"));
            }
        } catch (UnsatisfiedLinkError e) {
            // another C library, which has no such settings: slower, nothing else
        }
    }

    private static void keepFreedMemory(Function mallopt) {
        mallopt.invokeInt(new Object[] {M_ARENA_MAX, 1});
        mallopt.invokeInt(new Object[] {M_TOP_PAD, TOP_PAD});
        mallopt.invokeInt(new Object[] {M_TRIM_THRESHOLD, Integer.MAX_VALUE});
        if (mallopt.invokeInt(new Object[] {M_MMAP_THRESHOLD, MOST}) == 0) {
            mallopt.invokeInt(new Object[] {M_MMAP_THRESHOLD, OLD_MOST});
        }
    }

    /** Does nothing with another C library. */
    static void giveBackFreedMemory() {
        if (!Platform.isLinux()) {
            return;
        }
        try {
            NativeLibrary.getInstance("c").getFunction("malloc_trim").invokeInt(new Object[] {0L});
        } catch (UnsatisfiedLinkError e) {
            // it has no such function, and did not keep memory for it
        }
    }

    private static boolean isAboutMalloc(String variable) {
        return variable.equals("GLIBC_TUNABLES")
                || variable.equals("MALLOC_MMAP_THRESHOLD_")
                || variable.equals("MALLOC_TRIM_THRESHOLD_");
    }
}
