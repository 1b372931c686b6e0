package io.github.qlora4j.quant;

import com.google.gson.GsonBuilder;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.internal.Reason;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;

/**
 * A model directory that is being made from another: built beside its place and moved there whole by {@link #finish}.
 *
 * <p>Closing it unfinished leaves nothing.
 */
public final class QuantizedOutput implements AutoCloseable {

    private static final List<String> COPIED = List.of(".json", ".jinja", ".model", ".txt", ".tiktoken");

    private final Path model;
    private final Path output;
    private Path directory;

    private QuantizedOutput(Path model, Path output, Path directory) {
        this.model = model;
        this.output = output;
        this.directory = directory;
    }

    /**
     * Begins a directory.
     *
     * @param output must not be there, or be empty
     * @throws QloraException if it is something else, or cannot be made
     */
    public static QuantizedOutput create(Path model, Path output) {
        try {
            checkOutput(output);
            Path parent = Files.createDirectories(output.toAbsolutePath().getParent());
            // Not createTempDirectory: that is its owner's alone, and the output is not.
            Path directory = Files.createDirectory(parent.resolve(
                    output.getFileName() + ".tmp" + ProcessHandle.current().pid()));
            return new QuantizedOutput(model, output, directory);
        } catch (IOException e) {
            throw new QloraException(output + ": cannot be written: " + Reason.of(e), e);
        }
    }

    /** Where the files go meanwhile. */
    public Path directory() {
        return directory;
    }

    private static void checkOutput(Path output) throws IOException {
        if (Files.isDirectory(output)) {
            try (Stream<Path> entries = Files.list(output)) {
                if (entries.findAny().isPresent()) {
                    throw new QloraException(output + ": the directory is not empty; name another, or remove it");
                }
            }
        } else if (Files.exists(output)) {
            throw new QloraException(output + ": this is a file; a directory was expected");
        }
    }

    /** Writes config.json, copies what else belongs to a model, and moves the directory into place. */
    public void finish(JsonObject settings, JsonObject quantizationConfig) {
        try {
            copyOthers(model, directory);
            writeConfig(settings, quantizationConfig);
            Files.deleteIfExists(output);
            Files.move(directory, output, StandardCopyOption.ATOMIC_MOVE);
            directory = null;
        } catch (IOException e) {
            throw new QloraException(output + ": cannot be written: " + Reason.of(e), e);
        }
    }

    /** Tokenizer, generation settings and licence notes come along; weights and their index do not. */
    private static void copyOthers(Path model, Path directory) throws IOException {
        List<Path> files;
        try (Stream<Path> entries = Files.list(model)) {
            files = entries.filter(Files::isRegularFile).toList();
        }
        for (Path file : files) {
            String name = file.getFileName().toString();
            boolean weights = name.endsWith(".index.json") || name.equals("config.json");
            if (!weights && (COPIED.stream().anyMatch(name::endsWith) || name.startsWith("LICENSE"))) {
                Files.copy(file, directory.resolve(name));
            }
        }
    }

    private void writeConfig(JsonObject settings, JsonObject quantizationConfig) throws IOException {
        Map<String, JsonElement> sorted = new TreeMap<>(settings.asMap());
        sorted.put("quantization_config", quantizationConfig);
        JsonObject json = new JsonObject();
        sorted.forEach(json::add);
        String text = new GsonBuilder()
                .setPrettyPrinting()
                .serializeNulls()
                .disableHtmlEscaping()
                .create()
                .toJson(json);
        Files.writeString(directory.resolve("config.json"), text + "\n");
    }

    @Override
    public void close() {
        if (directory == null) {
            return;
        }
        try (Stream<Path> entries = Files.list(directory)) {
            for (Path file : entries.toList()) {
                Files.delete(file);
            }
            Files.delete(directory);
        } catch (IOException e) {
            // What is left carries .tmp in its name and is in nobody's way.
        }
    }
}
