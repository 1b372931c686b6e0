package io.github.qlora4j.trainer.train;

import io.github.qlora4j.peft.Adapter;
import io.github.qlora4j.peft.AdapterConfigFile;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.Reason;
import io.github.qlora4j.trainer.optim.Optimizer;
import java.io.IOException;
import java.io.InputStream;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;

/**
 * A directory {@code checkpoint-N} with everything that step N + 1 depends on.
 *
 * <p>It holds the adapter in PEFT's files, {@code optimizer.safetensors}, the resolved configuration, and {@code
 * trainer_state.json} with the sha256 of all of them. It is written beside as {@code checkpoint-N.tmp} and moved into
 * place, so that a directory of this name is whole whenever the process is killed.
 */
final class Checkpoint {

    static final String OPTIMIZER = "optimizer.safetensors";

    private Checkpoint() {}

    /**
     * Writes a checkpoint.
     *
     * @throws QloraException if it cannot be written; what was there before is then untouched
     */
    static void write(
            Path target, Adapter adapter, AdapterConfigFile adapterConfig, Optimizer optimizer, RunState state) {
        Path beside = target.resolveSibling(target.getFileName() + ".tmp");
        try {
            RunDirectory.delete(beside);
            Files.createDirectory(beside);
            adapter.save(beside, adapterConfig);
            optimizer.save(beside.resolve(OPTIMIZER));
            Files.writeString(beside.resolve(RunDirectory.RESOLVED), state.config());
            Map<String, String> hashes = new TreeMap<>();
            for (Path file : files(beside)) {
                sync(file);
                hashes.put(file.getFileName().toString(), sha256(file));
            }
            Path stateFile = beside.resolve(RunState.FILE);
            Files.writeString(stateFile, state.withFiles(hashes).json());
            sync(stateFile);
            Path old = target.resolveSibling(target.getFileName() + ".old");
            if (Files.exists(target)) {
                RunDirectory.delete(old);
                Files.move(target, old, StandardCopyOption.ATOMIC_MOVE);
            }
            Files.move(beside, target, StandardCopyOption.ATOMIC_MOVE);
            RunDirectory.delete(old);
        } catch (IOException e) {
            discard(beside, e);
            String gone = Files.isDirectory(target.getParent()) ? "" : "; was training.output_dir moved or deleted?";
            throw new QloraException(target + ": the checkpoint cannot be written: " + Reason.of(e) + gone, e);
        } catch (QloraException e) {
            discard(beside, e);
            throw e;
        }
    }

    /** A part of a checkpoint takes up room, of which there is perhaps none left. */
    private static void discard(Path beside, Exception problem) {
        try {
            RunDirectory.delete(beside);
        } catch (QloraException also) {
            problem.addSuppressed(also);
        }
    }

    /**
     * Reads a checkpoint's state after checking that its files are the ones that were written.
     *
     * @throws QloraException if anything is missing or damaged
     */
    static RunState verify(Path checkpoint) {
        RunState state = RunState.read(checkpoint);
        if (state.globalStep() != RunDirectory.step(checkpoint)) {
            throw new QloraException(checkpoint.resolve(RunState.FILE) + ": is of step " + state.globalStep());
        }
        for (String name : List.of(Adapter.WEIGHTS, AdapterConfigFile.NAME, OPTIMIZER)) {
            if (!state.files().containsKey(name)) {
                throw new QloraException(checkpoint.resolve(RunState.FILE) + ": lists no " + name);
            }
        }
        for (Map.Entry<String, String> entry : state.files().entrySet()) {
            if (!entry.getKey().matches("[A-Za-z0-9_-][A-Za-z0-9_.-]*")) {
                throw new QloraException(
                        checkpoint.resolve(RunState.FILE) + ": lists a file outside the checkpoint: " + entry.getKey());
            }
            Path file = checkpoint.resolve(entry.getKey());
            try {
                if (!sha256(file).equals(entry.getValue())) {
                    throw new QloraException(file + ": is damaged: its sha256 is not the one it was written with");
                }
            } catch (IOException e) {
                throw new QloraException(file + ": cannot be read: " + Reason.of(e), e);
            }
        }
        return state;
    }

    private static List<Path> files(Path directory) throws IOException {
        try (Stream<Path> entries = Files.list(directory)) {
            return entries.filter(Files::isRegularFile).sorted().toList();
        }
    }

    private static void sync(Path file) throws IOException {
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
            channel.force(true);
        }
    }

    static String sha256(Path file) throws IOException {
        try (InputStream in = Files.newInputStream(file)) {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            byte[] buffer = new byte[1 << 16];
            for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
                digest.update(buffer, 0, n);
            }
            return HexFormat.of().formatHex(digest.digest());
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }
}
