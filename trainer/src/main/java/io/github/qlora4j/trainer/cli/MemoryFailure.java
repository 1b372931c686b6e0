package io.github.qlora4j.trainer.cli;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.trainer.config.RunConfig;
import io.github.qlora4j.trainer.model.ComputeDtype;
import io.github.qlora4j.trainer.plan.MemoryAdvice;
import io.github.qlora4j.trainer.report.Figures;
import io.github.qlora4j.trainer.report.Rss;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A command that ran out of memory, Java's or the system's. */
final class MemoryFailure extends QloraException {
    private static final long serialVersionUID = 1L;

    /** As libtorch's allocator says it. */
    private static final Pattern REFUSED = Pattern.compile("tried to allocate (\\d{1,18}) bytes");
    /** As libtorch, oneDNN, the C++ library and the system say it. */
    private static final Pattern NATIVE =
            Pattern.compile("can't allocate memory|Cannot allocate memory|not enough memory"
                    + "|std::bad_alloc|could not create a memory|Map failed|unable to create native thread");

    private MemoryFailure(String message, Throwable cause) {
        super(message, cause);
    }

    /** What was refused, in one line with what to do about it first; empty where the problem is another one. */
    static Optional<String> describe(Throwable problem) {
        for (Throwable cause = problem; cause != null; cause = cause.getCause()) {
            String message = String.valueOf(cause.getMessage());
            if (NATIVE.matcher(message).find()) {
                Matcher size = REFUSED.matcher(message);
                long asked = size.find() ? Long.parseLong(size.group(1)) : 0;
                return Optional.of("not enough memory" + (asked > 0 ? " for " + Figures.bytes(asked) + " more" : "")
                        + state(asked));
            }
            if (cause instanceof OutOfMemoryError) {
                long megabytes = Runtime.getRuntime().maxMemory() >> 20;
                return Optional.of("the Java heap of " + megabytes + " MB is full: start with QLORA4J_JAVA_OPTS=-Xmx"
                        + 2 * megabytes + "m, or give it less data at a time");
            }
        }
        return Optional.empty();
    }

    private static String state(long asked) {
        long own = Rss.bytes();
        long free = Rss.freeBytes();
        return (own > 0 ? "; this process has " + Figures.bytes(own) : "")
                + (free > 0 ? ", " + Figures.bytes(free) + " are free" : "")
                + (asked > 0 && free > 2 * asked ? "; is there a limit on it (ulimit -v)?" : "");
    }

    /** Throws with a run's plan and the cheapest remedies where memory is what it lacked; does nothing elsewhere. */
    static void throwWhereMemoryLacks(Throwable problem, RunConfig run) {
        describe(problem).ifPresent(what -> {
            List<String> lines = new ArrayList<>(List.of(what));
            lines.addAll(advice(run).lines());
            throw new MemoryFailure(String.join("\n", lines), problem);
        });
    }

    /** Where a run's memory will go. */
    static MemoryAdvice advice(RunConfig run) {
        return MemoryAdvice.of(
                run,
                ComputeDtype.of(
                                run.quantized().isPresent()
                                        ? run.quantization().bnb4bitComputeDtype()
                                        : run.model().dtype())
                        .dtype());
    }
}
