package io.github.qlora4j.quant.internal;

import io.github.qlora4j.quant.QloraException;
import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.stream.Stream;

/** Builds a directory beside its place and moves it there when it is whole; of what fails nothing is left. */
public final class NewDirectory implements AutoCloseable {

    private static final List<String> COPIED = List.of(".json", ".jinja", ".model", ".txt", ".tiktoken");

    private final Path output;
    private final Path beside;
    private boolean moved;

    private NewDirectory(Path output, Path beside) {
        this.output = output;
        this.beside = beside;
    }

    /**
     * Begins a directory.
     *
     * @param output where it will be; it must not be there, or be empty
     * @param bytes what will be written, for which the disk must have room
     */
    public static NewDirectory begin(Path output, long bytes) throws IOException {
        if (Files.isDirectory(output)) {
            try (Stream<Path> entries = Files.list(output)) {
                if (entries.findAny().isPresent()) {
                    throw new QloraException(output + ": the directory is not empty; name another, or remove it");
                }
            }
        } else if (Files.exists(output)) {
            throw new QloraException(output + ": this is a file; a directory was expected");
        }
        Path parent = output.toAbsolutePath().getParent();
        try {
            Files.createDirectories(parent);
        } catch (FileAlreadyExistsException e) {
            throw new QloraException(parent + ": this is a file; a directory was expected", e);
        }
        long room = Files.getFileStore(parent).getUsableSpace();
        if (room < bytes) {
            throw new QloraException(parent + ": " + bytes + " bytes are needed, the disk has room for " + room
                    + "; nothing was written");
        }
        // Not createTempDirectory: that is its owner's alone, and the output is not.
        Path beside = parent.resolve(
                output.getFileName() + ".tmp" + ProcessHandle.current().pid());
        Unfinished.add(beside);
        try {
            Files.createDirectory(beside);
        } catch (IOException e) {
            // the name beside it is nobody's matter
            Unfinished.remove(beside);
            throw new QloraException(output + ": cannot be written: " + Reason.of(e), e);
        }
        return new NewDirectory(output, beside);
    }

    /** Where to write meanwhile. */
    public Path path() {
        return beside;
    }

    /** Brings a model's tokenizer, generation settings and licence notes along; weights, their index and config.json not. */
    public void copyOthers(Path model) throws IOException {
        List<Path> files;
        try (Stream<Path> entries = Files.list(model)) {
            files = entries.filter(Files::isRegularFile).toList();
        }
        for (Path file : files) {
            String name = file.getFileName().toString();
            boolean weights = name.endsWith(".index.json") || name.equals("config.json");
            if (!weights && (COPIED.stream().anyMatch(name::endsWith) || name.startsWith("LICENSE"))) {
                Files.copy(file, beside.resolve(name));
            }
        }
    }

    /** Moves it into its place. */
    public void finish() throws IOException {
        Files.deleteIfExists(output);
        Files.move(beside, output, StandardCopyOption.ATOMIC_MOVE);
        moved = true;
        Unfinished.remove(beside);
    }

    @Override
    public void close() {
        if (moved) {
            return;
        }
        try {
            FileTree.delete(beside);
        } catch (IOException e) {
            // What is left carries .tmp in its name and is in nobody's way.
        }
        Unfinished.remove(beside);
    }
}
