package io.github.qlora4j.peft;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.AtomicFile;
import io.github.qlora4j.quant.internal.FileTree;
import io.github.qlora4j.quant.internal.Reason;
import io.github.qlora4j.quant.internal.Unfinished;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.function.Consumer;
import java.util.stream.Stream;

/** Builds a directory beside its place and moves it there when it is whole. */
final class NewDirectory {

    private NewDirectory() {}

    static void build(Path directory, Consumer<Path> fill) {
        Path target = directory.toAbsolutePath().normalize();
        checkFree(directory, target);
        Path beside = target.resolveSibling("." + target.getFileName() + ".tmp");
        Unfinished.add(beside);
        try {
            deleteQuietly(beside); // left by a run that was killed
            Files.createDirectories(beside);
            fill.accept(beside);
            Files.deleteIfExists(target); // empty, as checked
            AtomicFile.move(beside, target);
        } catch (IOException e) {
            throw new QloraException(
                    "Cannot write " + directory + ": " + Reason.of(e) + ". Check free space and permissions.", e);
        } finally {
            deleteQuietly(beside);
            Unfinished.remove(beside);
        }
    }

    private static void checkFree(Path directory, Path target) {
        if (!Files.exists(target)) {
            return;
        }
        try (Stream<Path> entries = Files.isDirectory(target) ? Files.list(target) : Stream.of(target)) {
            if (entries.findAny().isPresent()) {
                throw new QloraException(
                        directory + " is there and not empty. Choose a new directory, or empty that one.");
            }
        } catch (IOException e) {
            throw new QloraException("Cannot look into " + directory + ": " + Reason.of(e), e);
        }
    }

    /** Deletes a file or a directory with everything in it; what cannot be deleted stays. */
    private static void deleteQuietly(Path path) {
        try {
            FileTree.delete(path);
        } catch (IOException e) {
            // a leftover under a temporary name harms nobody
        }
    }
}
