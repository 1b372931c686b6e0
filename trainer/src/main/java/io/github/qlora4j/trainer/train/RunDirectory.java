package io.github.qlora4j.trainer.train;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.FileTree;
import io.github.qlora4j.quant.internal.Reason;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Comparator;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * {@code training.output_dir}, held by one run at a time: the adapter, {@code metrics.jsonl} and {@code checkpoint-N}.
 *
 * <p>A lock file tells other runs off. Closing it lets the directory go.
 */
final class RunDirectory implements AutoCloseable {

    static final String METRICS = "metrics.jsonl";
    static final String RESOLVED = "qlora.yaml";
    private static final String LOCK = ".lock";
    private static final Pattern CHECKPOINT = Pattern.compile("checkpoint-(\\d{1,18})");
    private static final List<String> FILES =
            List.of(METRICS, RESOLVED, "adapter_model.safetensors", "adapter_config.json", "README.md", "loss.png");
    private static final Pattern LEFT_OVER = Pattern.compile("checkpoint-\\d+\\.(tmp|old)|optimizer-\\d+\\.pages|("
            + FILES.stream().map(Pattern::quote).collect(Collectors.joining("|")) + ")\\.tmp");

    /**
     * The directories that runs of this JVM hold. They are looked up before the lock file is opened: where the system
     * counts locks by process, closing any channel of the file would let go the lock that another run took.
     */
    private static final Set<Path> HELD = ConcurrentHashMap.newKeySet();

    private final Path path;
    private final Path held;
    private final FileChannel channel;
    private final FileLock lock;

    private RunDirectory(Path path, Path held, FileChannel channel, FileLock lock) {
        this.path = path;
        this.held = held;
        this.channel = channel;
        this.lock = lock;
    }

    /**
     * Takes the directory, making it where it is missing.
     *
     * @throws QloraException if it cannot be made or written, or another run holds it
     */
    static RunDirectory take(Path path) {
        if (Files.exists(path) && !Files.isDirectory(path)) {
            throw new QloraException("training.output_dir: " + path + " is a file, not a directory");
        }
        Path held = null;
        FileChannel channel = null;
        FileLock lock = null;
        try {
            Files.createDirectories(path);
            Path real = path.toRealPath();
            held = HELD.add(real) ? real : null;
            if (held != null) {
                channel = FileChannel.open(path.resolve(LOCK), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
                lock = channel.tryLock();
            }
        } catch (OverlappingFileLockException e) {
            // another run of this JVM, by another class loader: the same answer
        } catch (IOException e) {
            throw new QloraException("training.output_dir: " + path + " cannot be written: " + Reason.of(e), e);
        } finally {
            if (lock == null) {
                letGo(held, channel);
            }
        }
        if (lock == null) {
            throw new QloraException("training.output_dir: another run is writing to " + path
                    + "\n  Wait for it, or give this run a directory of its own.");
        }
        return new RunDirectory(path, held, channel, lock);
    }

    private static void letGo(Path held, FileChannel channel) {
        try {
            closeQuietly(channel);
        } finally {
            if (held != null) {
                HELD.remove(held);
            }
        }
    }

    Path path() {
        return path;
    }

    /** Whether a run has left something here. */
    boolean isUsed() {
        return Files.exists(path.resolve(METRICS))
                || Files.exists(path.resolve("adapter_model.safetensors"))
                || !checkpoints().isEmpty();
    }

    /** Checkpoints, the newest first; whether they are whole is not looked at. */
    List<Path> checkpoints() {
        try (Stream<Path> entries = Files.list(path)) {
            return entries.filter(
                            p -> CHECKPOINT.matcher(p.getFileName().toString()).matches())
                    .filter(Files::isDirectory)
                    .sorted(Comparator.comparingLong(RunDirectory::step).reversed())
                    .toList();
        } catch (IOException e) {
            throw new QloraException(path + ": cannot be listed: " + Reason.of(e), e);
        }
    }

    /** The step in a checkpoint's name. */
    static long step(Path checkpoint) {
        Matcher name = CHECKPOINT.matcher(checkpoint.getFileName().toString());
        if (!name.matches()) {
            throw new IllegalArgumentException("not a checkpoint: " + checkpoint);
        }
        return Long.parseLong(name.group(1));
    }

    Path checkpoint(long step) {
        return path.resolve("checkpoint-" + step);
    }

    /** Deletes what runs have left here, for {@code --overwrite}; files of other names stay. */
    void clear() {
        checkpoints().forEach(RunDirectory::delete);
        FILES.forEach(name -> delete(path.resolve(name)));
        clearLeftOvers();
    }

    /** Deletes half-written checkpoints and files of a run that was killed. */
    void clearLeftOvers() {
        try (Stream<Path> entries = Files.list(path)) {
            entries.filter(p -> LEFT_OVER.matcher(p.getFileName().toString()).matches())
                    .toList()
                    .forEach(RunDirectory::delete);
        } catch (IOException e) {
            throw new QloraException(path + ": cannot be listed: " + Reason.of(e), e);
        }
    }

    /** Deletes the oldest checkpoints beyond the limit; {@code best} stays. */
    void prune(Integer limit, Path best) {
        if (limit == null) {
            return;
        }
        List<Path> all = checkpoints();
        int room = limit;
        if (best != null && all.contains(best) && all.indexOf(best) >= limit) {
            room--;
        }
        // a limit of 1 still keeps the newest one beside the best, or resuming would lose steps
        room = Math.max(1, room);
        for (int i = room; i < all.size(); i++) {
            if (!all.get(i).equals(best)) {
                delete(all.get(i));
            }
        }
    }

    /**
     * Checks that files of this size fit.
     *
     * @throws QloraException if they do not
     */
    void requireRoom(long bytes) {
        try {
            long free = Files.getFileStore(path).getUsableSpace();
            if (free < bytes) {
                throw new QloraException("training.output_dir: " + path + " needs " + megabytes(bytes)
                        + " for adapter, optimizer state and checkpoints, but the disk has " + megabytes(free)
                        + " free\n  Free some room, choose another disk, or lower training.save_total_limit.");
            }
        } catch (IOException e) {
            throw new QloraException(path + ": the free space cannot be read: " + Reason.of(e), e);
        }
    }

    private static String megabytes(long bytes) {
        return (bytes + 999_999) / 1_000_000 + " MB";
    }

    static void delete(Path target) {
        try {
            FileTree.delete(target);
        } catch (IOException e) {
            throw new QloraException(target + ": cannot be deleted: " + Reason.of(e), e);
        }
    }

    private static void closeQuietly(FileChannel channel) {
        if (channel != null) {
            try {
                channel.close();
            } catch (IOException e) {
                throw new QloraException("the lock of the output directory cannot be closed: " + Reason.of(e), e);
            }
        }
    }

    @Override
    public void close() {
        try {
            lock.release();
        } catch (IOException e) {
            throw new QloraException(path + ": the lock cannot be released: " + Reason.of(e), e);
        } finally {
            letGo(held, channel);
        }
    }
}
