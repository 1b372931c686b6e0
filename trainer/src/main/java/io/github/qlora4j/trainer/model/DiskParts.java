package io.github.qlora4j.trainer.model;

import io.github.qlora4j.quant.LinearWeight;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.Reason;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import java.util.stream.Collectors;

/**
 * The parts of a base that lie on the disk: blocks, the embeddings, the head. One is in memory while it is used, and the
 * one that is expected next.
 *
 * <p>What came after a part the last time is read ahead the next time: a step goes up and down the blocks, a token only
 * up. Files are read on a thread of their own, since Java closes a file whose reader is interrupted. For one thread at a
 * time; closing it waits for the reader.
 */
final class DiskParts implements AutoCloseable {

    /** A part's weights, by the name of the module within it. */
    interface Reader extends Supplier<Map<String, LinearWeight>> {}

    private record Held(String part, CompletableFuture<Map<String, LinearWeight>> weights) {}

    /** What a file is, for finding out that it was written to. */
    private record Stamp(Object key, long size, long time) {
        static Stamp of(Path file) throws IOException {
            BasicFileAttributes now = Files.readAttributes(file, BasicFileAttributes.class);
            return new Stamp(now.fileKey(), now.size(), now.lastModifiedTime().to(TimeUnit.NANOSECONDS));
        }
    }

    private final Map<String, Reader> readers = new LinkedHashMap<>();
    private final Map<Path, Stamp> stamps = new LinkedHashMap<>();
    private final List<ModelDirectory> files = new ArrayList<>();
    private final Map<List<String>, String> successors = new HashMap<>();
    private final ExecutorService thread = Executors.newSingleThreadExecutor(task -> {
        Thread reader = new Thread(task, "qlora4j-disk-parts");
        reader.setDaemon(true);
        return reader;
    });
    private String before = "";
    private Held now;
    private Held next;

    /** Takes over open files that parts are read from. */
    void keep(ModelDirectory open) {
        files.add(open);
        for (Path path : open.names().stream().map(open::fileOf).collect(Collectors.toSet())) {
            try {
                stamps.put(path, Stamp.of(path));
            } catch (IOException e) {
                throw new QloraException(path + ": cannot be read: " + Reason.of(e), e);
            }
        }
    }

    /** Adds a part. */
    void add(String part, Reader reader) {
        readers.put(part, reader);
    }

    /** Whether no part lies on the disk. */
    boolean isEmpty() {
        return readers.isEmpty();
    }

    /**
     * The weights of a part, which are valid until another part is taken.
     *
     * @throws QloraException if its files cannot be read, or were written to since they were opened
     */
    Map<String, LinearWeight> take(String part) {
        if (now == null || !now.part().equals(part)) {
            String last = now == null ? "" : now.part();
            drop(now);
            now = null;
            if (next != null && !next.part().equals(part)) {
                drop(next);
                next = null;
            }
            Held taken = next == null ? read(part) : next;
            next = null;
            // taken before it is waited for: closing this frees it even where reading fails
            now = taken;
            successors.put(List.of(before, last), part);
            before = last;
            join(taken.weights());
            String expected = successors.get(List.of(last, part));
            if (expected != null && !expected.equals(part)) {
                next = read(expected);
            }
        }
        return join(now.weights());
    }

    /** Reads something else on the thread that reads. */
    <T> T read(Supplier<T> reader) {
        return join(begin(reader));
    }

    private Held read(String part) {
        return new Held(part, begin(readers.get(part)));
    }

    private <T> CompletableFuture<T> begin(Supplier<T> reader) {
        return CompletableFuture.supplyAsync(
                () -> {
                    requireUnchanged();
                    return reader.get();
                },
                thread);
    }

    /** A file that was replaced is still open as it was; one that was written to is another model. */
    private void requireUnchanged() {
        stamps.forEach((path, stamp) -> {
            try {
                Stamp found = Stamp.of(path);
                if (found.key() != null && found.key().equals(stamp.key()) && !found.equals(stamp)) {
                    throw new QloraException(path + " was changed while the model is read from it, part by part"
                            + "\n  Start again when nobody writes there.");
                }
            } catch (IOException e) {
                // it has no name any more, and is still open
            }
        });
    }

    private static <T> T join(CompletableFuture<T> read) {
        try {
            return read.join();
        } catch (CompletionException e) {
            if (e.getCause() instanceof QloraException known) {
                throw new QloraException(known.getMessage(), known);
            }
            if (e.getCause() instanceof Error error) {
                throw error;
            }
            throw e;
        }
    }

    private static void drop(Held held) {
        if (held != null) {
            held.weights().handle((weights, failed) -> {
                if (weights != null) {
                    new HashSet<>(weights.values()).forEach(LinearWeight::close);
                }
                return null;
            });
        }
    }

    @Override
    public void close() {
        drop(now);
        drop(next);
        now = null;
        next = null;
        thread.shutdown();
        boolean interrupted = false;
        while (true) {
            try {
                if (thread.awaitTermination(1, TimeUnit.MINUTES)) {
                    break;
                }
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
        files.forEach(ModelDirectory::close);
        files.clear();
    }
}
