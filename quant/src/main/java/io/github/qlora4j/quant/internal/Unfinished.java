package io.github.qlora4j.quant.internal;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * What is being written beside its place: deleted where the JVM is told to end (Ctrl-C, SIGTERM) before it is moved there.
 *
 * <p>Threads go on while a JVM ends, so a writer may find its file gone; {@link #isEnding} tells that this is why.
 */
public final class Unfinished {

    private static final Set<Path> PATHS = ConcurrentHashMap.newKeySet();

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

    /** Whether the JVM is ending. */
    public static boolean isEnding() {
        return ending;
    }

    private static void end() {
        ending = true;
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
