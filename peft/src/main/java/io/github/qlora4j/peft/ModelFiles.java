package io.github.qlora4j.peft;

import com.google.gson.GsonBuilder;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.AtomicFile;
import io.github.qlora4j.quant.internal.Reason;
import io.github.qlora4j.quant.torch.Dtype;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;

/** The files of a model directory besides its weights. */
final class ModelFiles {

    private static final List<String> KINDS = List.of(".json", ".txt", ".model", ".jinja", ".tiktoken", ".py");
    private static final Set<String> NAMES = Set.of("LICENSE", "NOTICE");
    private static final Set<String> LEFT_OUT = Set.of("config.json", "adapter_config.json");

    private ModelFiles() {}

    /** Copies tokenizer, generation settings, chat template and licence: everything small that belongs to a model. */
    static void copySmallFiles(Path from, Path to) {
        try (Stream<Path> entries = Files.list(from)) {
            for (Path file : entries.filter(Files::isRegularFile).sorted().toList()) {
                String name = file.getFileName().toString();
                boolean isWanted = NAMES.contains(name) || KINDS.stream().anyMatch(name::endsWith);
                if (isWanted && !LEFT_OUT.contains(name) && !name.endsWith(".index.json") && !name.startsWith(".")) {
                    Files.copy(file, to.resolve(name));
                }
            }
        } catch (IOException e) {
            throw new QloraException("Cannot copy the small files of " + from + " to " + to + ": " + Reason.of(e), e);
        }
    }

    /** Writes config.json for weights that are no longer quantized, in a dtype. */
    static void writeConfig(Path directory, JsonObject base, Dtype dtype, boolean unties) {
        JsonObject config = base.deepCopy();
        config.remove("quantization_config");
        if (config.has("torch_dtype")) {
            config.addProperty("torch_dtype", dtype.torchName());
        }
        if (config.has("dtype") || !config.has("torch_dtype")) {
            config.addProperty("dtype", dtype.torchName());
        }
        if (unties) {
            config.addProperty("tie_word_embeddings", false);
        }
        String text =
                new GsonBuilder()
                                .setPrettyPrinting()
                                .serializeNulls()
                                .disableHtmlEscaping()
                                .create()
                                .toJson(config) + "\n";
        AtomicFile.writeText(directory.resolve("config.json"), text);
    }
}
