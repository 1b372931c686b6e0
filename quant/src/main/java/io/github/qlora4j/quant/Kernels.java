package io.github.qlora4j.quant;

import io.github.qlora4j.quant.bitsandbytes.LibrarySearch;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;

/** Picks the kernel that a choice comes to on this machine. */
public final class Kernels {

    private static final Logger LOG = LogManager.getLogger(Kernels.class);
    private static final AtomicBoolean SAID = new AtomicBoolean();

    private Kernels() {}

    /**
     * The kernel of a choice. {@code AUTO} without a usable library logs one line a JVM, with what to do.
     *
     * @throws QloraException if {@code BITSANDBYTES} is asked for and cannot be used; it says what was tried
     */
    public static Kernel choose(KernelChoice choice) {
        if (choice == KernelChoice.BUILTIN) {
            return BuiltinKernel.INSTANCE;
        }
        LibrarySearch search = LibrarySearch.result();
        if (search.usable()) {
            return BitsAndBytesKernel.INSTANCE;
        }
        if (choice == KernelChoice.BITSANDBYTES) {
            throw search.missing();
        }
        if (!SAID.getAndSet(true)) {
            if (search.library() == null) {
                LOG.info(
                        "{}; the built-in kernel gives the same bytes, more slowly. To use it, {}.",
                        search.whyNot(),
                        LibrarySearch.REMEDY);
            } else {
                LOG.info("This CPU lacks AVX-512, which bitsandbytes' library needs; the built-in kernel gives the same"
                        + " bytes. Set quantization.kernel to builtin to skip the search.");
            }
        }
        return BuiltinKernel.INSTANCE;
    }
}
