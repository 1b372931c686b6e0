package io.github.qlora4j.quant;

import com.google.gson.GsonBuilder;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.internal.NewDirectory;
import io.github.qlora4j.quant.internal.Reason;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;

/**
 * A model directory that is being made from another: built beside its place and moved there whole by {@link #finish}.
 *
 * <p>Closing it unfinished leaves nothing.
 */
public final class QuantizedOutput implements AutoCloseable {

    private final Path model;
    private final Path output;
    private final NewDirectory made;

    private QuantizedOutput(Path model, Path output, NewDirectory made) {
        this.model = model;
        this.output = output;
        this.made = made;
    }

    /**
     * Begins a directory.
     *
     * @param output must not be there, or be empty
     * @throws QloraException if it is something else, or cannot be made
     */
    public static QuantizedOutput create(Path model, Path output) {
        try {
            return new QuantizedOutput(model, output, NewDirectory.begin(output, 0));
        } catch (IOException e) {
            throw new QloraException(output + ": cannot be written: " + Reason.of(e), e);
        }
    }

    /** Where the files go meanwhile. */
    public Path directory() {
        return made.path();
    }

    /** Writes config.json, copies what else belongs to a model, and moves the directory into place. */
    public void finish(JsonObject settings, JsonObject quantizationConfig) {
        try {
            made.copyOthers(model);
            writeConfig(settings, quantizationConfig);
            made.finish();
        } catch (IOException e) {
            throw new QloraException(output + ": cannot be written: " + Reason.of(e), e);
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
        Files.writeString(made.path().resolve("config.json"), text + "\n");
    }

    @Override
    public void close() {
        made.close();
    }
}
