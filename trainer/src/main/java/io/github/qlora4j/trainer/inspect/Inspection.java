package io.github.qlora4j.trainer.inspect;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.Printable;
import io.github.qlora4j.quant.internal.Reason;
import io.github.qlora4j.quant.internal.StrictJson;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.safetensors.SafetensorsFile;
import io.github.qlora4j.trainer.model.ModelConfig;
import io.github.qlora4j.trainer.report.Figures;
import io.github.qlora4j.trainer.report.MetricsFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.TreeMap;
import java.util.stream.Stream;

/**
 * What lies at a path: a safetensors file, a model, quantized or not, an adapter, a run or one of its checkpoints.
 *
 * <p>Headers and configuration files are read, never the weights.
 */
public final class Inspection {
    private static final String ADAPTER = "adapter_model.safetensors";
    private static final String ADAPTER_CONFIG = "adapter_config.json";
    private static final List<String> ADAPTER_KEYS = List.of(
            "base_model_name_or_path",
            "peft_type",
            "r",
            "lora_alpha",
            "lora_dropout",
            "target_modules",
            "bias",
            "use_rslora",
            "modules_to_save");
    private static final List<String> MODEL_KEYS = List.of(
            "model_type",
            "hidden_size",
            "intermediate_size",
            "num_hidden_layers",
            "num_attention_heads",
            "num_key_value_heads",
            "vocab_size",
            "tie_word_embeddings",
            "dtype",
            "torch_dtype",
            "quantization_config");

    private final Path path;
    private final String kind;
    private final JsonObject facts = new JsonObject();
    private final List<TensorRow> tensors = new ArrayList<>();

    private Inspection(Path path, String kind) {
        this.path = path;
        this.kind = kind;
    }

    /**
     * Looks at a path.
     *
     * @throws QloraException if there is nothing there, if it is nothing that is known, or if a file in it is damaged
     */
    public static Inspection of(Path path) {
        if (!Files.exists(path)) {
            throw new QloraException(path + ": no such file or directory");
        }
        if (!Files.isDirectory(path)) {
            return file(path);
        }
        boolean adapter = Files.exists(path.resolve(ADAPTER_CONFIG)) || Files.exists(path.resolve(ADAPTER));
        boolean run = Files.exists(path.resolve("metrics.jsonl"))
                || !checkpoints(path).isEmpty();
        boolean checkpoint = name(path).matches("checkpoint-\\d+");
        if (run && !checkpoint) {
            return run(path, adapter);
        }
        if (adapter) {
            Inspection found = new Inspection(path, checkpoint ? "checkpoint" : "adapter");
            found.addAdapter();
            if (checkpoint) {
                found.addFiles();
            }
            return found;
        }
        if (Files.exists(path.resolve("config.json"))) {
            return model(path);
        }
        throw new QloraException(path + ": is no model (config.json), adapter (" + ADAPTER_CONFIG
                + ") or run (metrics.jsonl): none of these files is in it");
    }

    private static Inspection file(Path path) {
        if (!name(path).endsWith(".safetensors")) {
            throw new QloraException(path + ": is no safetensors file and no directory; inspect reads those");
        }
        Inspection found = new Inspection(path, "safetensors file");
        found.addTensors(path);
        return found;
    }

    private static Inspection model(Path path) {
        JsonObject config = StrictJson.readObject(path.resolve("config.json"));
        Inspection found = new Inspection(path, kind(path, config));
        found.copy(config, MODEL_KEYS);
        try (ModelDirectory directory = ModelDirectory.open(path)) {
            directory.names().stream()
                    .map(directory::fileOf)
                    .distinct()
                    .sorted()
                    .forEach(found::addTensors);
        }
        found.addFootprint();
        found.facts.addProperty("tokenizer", Files.exists(path.resolve("tokenizer.json")));
        return found;
    }

    /** What a model is, by its settings or by the file where GPTQ's and AWQ's packages once wrote them. */
    private static String kind(Path path, JsonObject config) {
        String quantization = String.valueOf(config.get("quantization_config"));
        for (String method : List.of("gptq", "awq")) {
            String older = method.equals("gptq") ? "quantize_config.json" : "quant_config.json";
            if (quantization.contains("\"quant_method\":\"" + method + "\"")
                    || !config.has("quantization_config") && Files.exists(path.resolve(older))) {
                return method.toUpperCase(Locale.ROOT) + " model";
            }
        }
        return quantization.contains("\"load_in_4bit\":true")
                ? "4-bit model"
                : quantization.contains("\"load_in_8bit\":true") ? "8-bit model" : "model";
    }

    /** {@code get_memory_footprint} of the model as it is stored: parameters, and two tables of rotary frequencies. */
    private void addFootprint() {
        ModelConfig config;
        try {
            config = ModelConfig.read(path);
        } catch (QloraException e) {
            // a model that cannot be run here is shown all the same
            return;
        }
        long bytes = (long) config.headDim() * Float.BYTES;
        for (TensorRow row : tensors) {
            if (!(config.tieWordEmbeddings() && row.name().equals("lm_head.weight"))) {
                bytes += row.parameterBytes();
            }
        }
        facts.addProperty("footprint_bytes", bytes);
    }

    private static Inspection run(Path path, boolean adapter) {
        Inspection found = new Inspection(path, "run");
        Path metrics = path.resolve("metrics.jsonl");
        if (Files.exists(metrics)) {
            JsonObject last = null;
            JsonObject lastEval = null;
            for (JsonObject row : MetricsFile.read(metrics)) {
                if (row.has("eval_loss")) {
                    lastEval = row;
                } else {
                    last = row;
                }
            }
            if (last != null) {
                found.copy(last, List.of("step", "epoch", "loss"));
            }
            if (lastEval != null) {
                found.copy(lastEval, List.of("eval_loss"));
            }
        }
        JsonArray names = new JsonArray();
        checkpoints(path).forEach(checkpoint -> names.add(name(checkpoint)));
        found.facts.add("checkpoints", names);
        if (adapter) {
            found.addAdapter();
        }
        return found;
    }

    /** The checkpoints of a run, by step. */
    private static List<Path> checkpoints(Path run) {
        try (Stream<Path> entries = Files.list(run)) {
            return entries.filter(entry -> name(entry).matches("checkpoint-\\d{1,18}") && Files.isDirectory(entry))
                    .sorted(Comparator.comparingLong(
                            entry -> Long.parseLong(name(entry).substring("checkpoint-".length()))))
                    .toList();
        } catch (IOException e) {
            throw new QloraException(run + ": cannot be read: " + Reason.of(e), e);
        }
    }

    private void addAdapter() {
        Path config = path.resolve(ADAPTER_CONFIG);
        if (Files.exists(config)) {
            copy(StrictJson.readObject(config), ADAPTER_KEYS);
        } else {
            facts.addProperty(ADAPTER_CONFIG, "missing");
        }
        if (Files.exists(path.resolve(ADAPTER))) {
            addTensors(path.resolve(ADAPTER));
        } else {
            facts.addProperty(ADAPTER, "missing");
        }
    }

    private void addFiles() {
        JsonObject files = new JsonObject();
        try (Stream<Path> entries = Files.list(path)) {
            for (Path entry : entries.sorted().toList()) {
                files.addProperty(name(entry), Files.size(entry));
            }
        } catch (IOException e) {
            throw new QloraException(path + ": cannot be read: " + Reason.of(e), e);
        }
        facts.add("files", files);
    }

    private void addTensors(Path file) {
        try (SafetensorsFile opened = SafetensorsFile.open(file)) {
            tensors.addAll(TensorRow.of(opened));
            if (kind.equals("safetensors file") && !opened.metadata().isEmpty()) {
                JsonObject metadata = new JsonObject();
                opened.metadata().forEach(metadata::addProperty);
                facts.add("metadata", metadata);
            }
        }
    }

    private void copy(JsonObject from, List<String> keys) {
        for (String key : keys) {
            JsonElement value = from.get(key);
            if (value != null && !value.isJsonNull()) {
                facts.add(key, value);
            }
        }
    }

    private static String name(Path path) {
        Path name = path.toAbsolutePath().normalize().getFileName();
        return name == null ? "" : name.toString();
    }

    private long parameters() {
        return tensors.stream().mapToLong(TensorRow::elements).sum();
    }

    private long bytes() {
        return tensors.stream().mapToLong(TensorRow::bytes).sum();
    }

    /** Everything as one JSON object. */
    public JsonObject json() {
        JsonObject json = new JsonObject();
        json.addProperty("path", path.toString());
        json.addProperty("kind", kind);
        facts.entrySet().forEach(fact -> json.add(fact.getKey(), fact.getValue()));
        json.addProperty("parameters", parameters());
        json.addProperty("bytes", bytes());
        JsonArray rows = new JsonArray();
        tensors.forEach(row -> rows.add(row.json()));
        json.add("tensors", rows);
        return json;
    }

    /** Everything as lines for people. */
    public List<String> lines() {
        return written().stream().map(Printable::of).toList();
    }

    private List<String> written() {
        List<String> lines = new ArrayList<>();
        lines.add(path + ": " + kind);
        facts.entrySet().forEach(fact -> lines.add("  " + fact.getKey() + ": " + plain(fact.getValue())));
        if (tensors.isEmpty()) {
            return lines;
        }
        TreeMap<String, Long> byDtype = new TreeMap<>();
        tensors.forEach(row -> byDtype.merge(row.dtype(), row.elements(), Long::sum));
        List<String> kinds = new ArrayList<>();
        byDtype.forEach((dtype, count) -> kinds.add(Figures.count(count) + " " + dtype));
        lines.add("  " + tensors.size() + " tensors, " + Figures.count(parameters()) + " parameters ("
                + String.join(", ", kinds) + "), " + Figures.bytes(bytes()));
        int width = tensors.stream().mapToInt(row -> row.name().length()).max().orElse(0);
        for (TensorRow row : tensors) {
            lines.add(String.format(
                            Locale.ROOT,
                            "  %-" + Math.max(1, width) + "s  %-4s %-16s %9s  %s",
                            row.name(),
                            row.dtype(),
                            row.shape(),
                            Figures.bytes(row.bytes()),
                            row.detail())
                    .stripTrailing());
        }
        return lines;
    }

    private static String plain(JsonElement value) {
        return value.isJsonPrimitive() ? value.getAsString() : value.toString();
    }
}
