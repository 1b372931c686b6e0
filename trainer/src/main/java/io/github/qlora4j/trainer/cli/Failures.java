package io.github.qlora4j.trainer.cli;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.Printable;
import io.github.qlora4j.quant.internal.Reason;
import io.github.qlora4j.quant.internal.Unfinished;
import io.github.qlora4j.trainer.config.ConfigException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.util.function.BooleanSupplier;
import picocli.CommandLine;
import picocli.CommandLine.ParameterException;

/** Turns whatever ends a command into lines on stderr and an exit code. */
final class Failures {
    private final Terminal terminal;
    private final BooleanSupplier verbose;

    Failures(Terminal terminal, BooleanSupplier verbose) {
        this.terminal = terminal;
        this.verbose = verbose;
    }

    /** A verb or an option that does not exist, or a value that cannot be read. */
    int wrongUse(ParameterException problem, String... words) {
        CommandLine command = problem.getCommandLine();
        // words of the command line may be as long and as odd as those of files
        say(Printable.message(Misuse.describe(problem, words)));
        terminal.writer().println("Try '" + command.getCommandSpec().qualifiedName() + " --help'.");
        trace(problem);
        return Main.WRONG_USE;
    }

    /** A command that was called rightly and did not end well. */
    int failed(Throwable problem) {
        if (Unfinished.isEnding()) {
            // of Ctrl-C's doing, such as a file that is gone; the process ends with the signal's exit code
            return Main.FAILED;
        }
        if (problem instanceof ExceptionInInitializerError && problem.getCause() != null) {
            return failed(problem.getCause());
        }
        terminal.live("");
        if (problem instanceof Output.Lost lost) {
            if (!lost.readerGone()) {
                say("cannot write to standard output: " + lost.getCause().getMessage());
            }
        } else if (problem instanceof QloraException) {
            say(problem.getMessage());
        } else if (MemoryFailure.describe(problem).isPresent()) {
            String more = problem instanceof OutOfMemoryError
                    ? ""
                    : "\n  Take fewer or shorter rows at a time, or quantize the base; 'qlora plan' shows what a run needs.";
            say(MemoryFailure.describe(problem).get() + more);
        } else if (problem instanceof UnsatisfiedLinkError || isSecondUse(problem)) {
            say("a native library cannot be loaded: " + Reason.ofLibrary(problem)
                    + "\n  Libraries are unpacked into ~/.djl.ai (or DJL_CACHE_DIR), ~/.cache/JNA and " + temporaries()
                    + ", which need room and write access; 'qlora doctor' shows what was tried.");
        } else if (problem instanceof FileSystemException file) {
            say(describe(file));
        } else {
            String message = problem.getMessage() == null ? "" : " (" + firstLine(problem.getMessage()) + ")";
            say("internal error: " + problem.getClass().getSimpleName() + message
                    + "; run again with --verbose and report what it prints");
        }
        trace(problem);
        return problem instanceof WrongUse || problem instanceof ConfigException ? Main.WRONG_USE : Main.FAILED;
    }

    /** A class of a native library that failed when it was first used. */
    private static boolean isSecondUse(Throwable problem) {
        return problem instanceof NoClassDefFoundError
                && String.valueOf(problem.getMessage())
                        .matches("Could not initialize class (com\\.sun\\.jna|ai\\.djl)\\..*");
    }

    private void say(String message) {
        terminal.writer().println("error: " + message);
    }

    private void trace(Throwable problem) {
        if (verbose.getAsBoolean()) {
            problem.printStackTrace(terminal.writer());
        }
    }

    private static String describe(FileSystemException problem) {
        if (problem instanceof NoSuchFileException) {
            return problem.getFile() + ": no such file or directory";
        }
        if (problem instanceof AccessDeniedException) {
            return problem.getFile() + ": permission denied";
        }
        return problem.getFile() + ": " + (problem.getReason() == null ? "cannot be used" : problem.getReason());
    }

    private static String temporaries() {
        return System.getProperty("java.io.tmpdir");
    }

    private static String firstLine(String text) {
        return text.lines().findFirst().orElse("");
    }
}
