package io.github.qlora4j.quant.internal;

import io.github.qlora4j.quant.QloraException;
import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;

/** Builds a directory beside its place and moves it there when it is whole; of what fails nothing is left. */
public final class NewDirectory implements AutoCloseable {

    private static final List<String> KINDS = List.of(".json", ".jinja", ".model", ".txt", ".tiktoken", ".py");
    private static final List<String> NAMES = List.of("LICENSE", "NOTICE");

    /** What speaks of the weights that stay behind. */
    private static final Set<String> LEFT_OUT =
            Set.of("config.json", "adapter_config.json", "quantize_config.json", "quant_config.json");

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

    /** Brings a model's tokenizer, generation settings, chat template and licence along; what speaks of weights not. */
    public void copyOthers(Path model) throws IOException {
        List<Path> files;
        try (Stream<Path> entries = Files.list(model)) {
            files = entries.filter(Files::isRegularFile).sorted().toList();
        }
        for (Path file : files) {
            if (goesAlong(file.getFileName().toString())) {
                Files.copy(file, beside.resolve(file.getFileName()));
            }
        }
    }

    private static boolean goesAlong(String name) {
        boolean wanted =
                NAMES.stream().anyMatch(name::startsWith) || KINDS.stream().anyMatch(name::endsWith);
        return wanted && !LEFT_OUT.contains(name) && !name.endsWith(".index.json") && !name.startsWith(".");
    }

    /** Moves it into its place. */
    public void finish() throws IOException {
        Files.deleteIfExists(output);
        AtomicFile.move(beside, output);
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
