package io.github.qlora4j.quant.internal;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;

/**
 * What is being written beside its place: deleted where the JVM is told to end (Ctrl-C, SIGTERM) before it is moved there.
 *
 * <p>Threads go on while a JVM ends, so a writer may find its file gone; {@link #isEnding} tells that this is why.
 */
public final class Unfinished {

    private static final Set<Path> PATHS = ConcurrentHashMap.newKeySet();

    private static final Set<Process> WRITERS = ConcurrentHashMap.newKeySet();

    private static final int SECONDS_TO_END = 10;

    /** A file may be added to a directory while it is emptied. */
    private static final int TRIES = 10;

    private static volatile boolean ending;

    static {
        Runtime.getRuntime().addShutdownHook(new Thread(Unfinished::end, "unfinished"));
    }

    private Unfinished() {}

    /** A file or directory is begun. */
    public static void add(Path path) {
        PATHS.add(path);
    }

    /** It stands in its place, or was deleted. */
    public static void remove(Path path) {
        PATHS.remove(path);
    }

    /** A process was started that writes there: it is ended before anything is deleted, since it would go on writing. */
    public static void add(Process writer) {
        WRITERS.add(writer);
        if (ending) {
            writer.destroyForcibly();
        }
    }

    /** It has ended. */
    public static void remove(Process writer) {
        WRITERS.remove(writer);
    }

    /** Whether the JVM is ending. */
    public static boolean isEnding() {
        return ending;
    }

    private static void end() {
        ending = true;
        for (Process writer : WRITERS) {
            try {
                writer.destroyForcibly().waitFor(SECONDS_TO_END, TimeUnit.SECONDS);
            } catch (InterruptedException e) {
                break;
            }
        }
        PATHS.forEach(Unfinished::delete);
    }

    static void delete(Path path) {
        for (int i = 0; i < TRIES && Files.exists(path); i++) {
            try {
                FileTree.delete(path);
            } catch (NoSuchFileException e) {
                // its writer was faster
            } catch (IOException | RuntimeException e) {
                try {
                    Thread.sleep(20);
                } catch (InterruptedException interrupted) {
                    return;
                }
            }
        }
    }
}
