package io.github.qlora4j.quant.safetensors;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.Reason;
import io.github.qlora4j.quant.internal.StrictJson;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;

/**
 * The weights of a Hugging Face model directory: {@code model.safetensors}, or shards with an index.
 *
 * <p>Opening checks every header; tensors are read one at a time. The caller closes it. Weights as Python pickles
 * ({@code .bin}, {@code .pt}) are refused: reading one runs code that it carries.
 */
public final class ModelDirectory implements AutoCloseable {

    static final String SINGLE = "model.safetensors";
    static final String INDEX = "model.safetensors.index.json";

    private static final Logger LOG = LogManager.getLogger(ModelDirectory.class);
    private static final List<String> PICKLES = List.of(".bin", ".pt", ".pth", ".ckpt");

    private final Path directory;
    private final Map<String, SafetensorsFile> fileOf;
    private final Set<SafetensorsFile> files;

    private ModelDirectory(Path directory, Map<String, SafetensorsFile> fileOf, Set<SafetensorsFile> files) {
        this.directory = directory;
        this.fileOf = Collections.unmodifiableMap(fileOf);
        this.files = files;
    }

    /**
     * Opens a directory's weights.
     *
     * @throws QloraException if there are none, or a file is missing, damaged or contradicts the index
     */
    public static ModelDirectory open(Path directory) {
        if (!Files.isDirectory(directory)) {
            throw new QloraException(directory + ": no such directory; a Hugging Face model directory was expected");
        }
        Set<SafetensorsFile> files = new LinkedHashSet<>();
        boolean done = false;
        try {
            Map<String, SafetensorsFile> fileOf = new LinkedHashMap<>();
            if (Files.exists(directory.resolve(SINGLE))) {
                SafetensorsFile file = SafetensorsFile.open(directory.resolve(SINGLE));
                files.add(file);
                file.tensors().keySet().forEach(name -> fileOf.put(name, file));
            } else if (Files.exists(directory.resolve(INDEX))) {
                openShards(directory, fileOf, files);
            } else {
                throw noWeights(directory);
            }
            done = true;
            return new ModelDirectory(directory, fileOf, files);
        } finally {
            if (!done) {
                files.forEach(SafetensorsFile::close);
            }
        }
    }

    /**
     * Opens files of a directory that has no index, as if they were all its weights.
     *
     * @param files safetensors files, no two with a tensor of the same name
     * @throws QloraException if one is missing or damaged, or two hold the same tensor
     */
    public static ModelDirectory open(Path directory, List<Path> files) {
        Set<SafetensorsFile> opened = new LinkedHashSet<>();
        boolean done = false;
        try {
            Map<String, SafetensorsFile> fileOf = new LinkedHashMap<>();
            for (Path path : files) {
                SafetensorsFile file = SafetensorsFile.open(path);
                opened.add(file);
                for (String name : file.tensors().keySet()) {
                    SafetensorsFile other = fileOf.put(name, file);
                    if (other != null) {
                        throw new QloraException(path + ": tensor " + name + " is in " + other.path() + " too");
                    }
                }
            }
            done = true;
            return new ModelDirectory(directory, fileOf, opened);
        } finally {
            if (!done) {
                opened.forEach(SafetensorsFile::close);
            }
        }
    }

    private static void openShards(Path directory, Map<String, SafetensorsFile> fileOf, Set<SafetensorsFile> files) {
        Path index = directory.resolve(INDEX);
        JsonElement map = StrictJson.readObject(index).get("weight_map");
        if (map == null || !map.isJsonObject()) {
            throw new QloraException(index + ": an object \"weight_map\" from tensor names to file names is needed");
        }
        JsonObject weightMap = map.getAsJsonObject();
        Map<String, SafetensorsFile> byName = new LinkedHashMap<>();
        for (Map.Entry<String, JsonElement> entry : weightMap.entrySet()) {
            String tensor = entry.getKey();
            String shard = shardName(index, tensor, entry.getValue());
            SafetensorsFile file = byName.get(shard);
            if (file == null) {
                Path path = directory.resolve(shard);
                if (!Files.isRegularFile(path)) {
                    throw new QloraException(index + ": tensor " + tensor + " is said to be in " + shard
                            + ", which is not there; download the model's missing files");
                }
                file = SafetensorsFile.open(path);
                files.add(file);
                byName.put(shard, file);
            }
            if (!file.tensors().containsKey(tensor)) {
                throw new QloraException(index + ": tensor " + tensor + " is said to be in " + shard
                        + ", which does not hold it; the index belongs to other files");
            }
            fileOf.put(tensor, file);
        }
        for (SafetensorsFile file : files) {
            long extra = file.tensors().keySet().stream()
                    .filter(name -> fileOf.get(name) != file)
                    .count();
            if (extra > 0) {
                LOG.warn("{}: {} tensors of {} are not in its index and are left out", index, extra, file.path());
            }
        }
    }

    private static String shardName(Path index, String tensor, JsonElement value) {
        String name = value.isJsonPrimitive() && value.getAsJsonPrimitive().isString() ? value.getAsString() : "";
        // A plain name keeps an index from a stranger from naming files elsewhere.
        boolean plain = !name.isEmpty()
                && !name.contains("/")
                && !name.contains("\\")
                && !name.contains(":")
                && name.chars().noneMatch(c -> c < ' ')
                && !name.equals(".")
                && !name.equals("..");
        if (!plain || !name.endsWith(".safetensors")) {
            throw new QloraException(index + ": tensor " + tensor + ": " + value
                    + " is not the plain name of a .safetensors file in this directory");
        }
        return name;
    }

    private static QloraException noWeights(Path directory) {
        String pickle = null;
        try (Stream<Path> entries = Files.list(directory)) {
            pickle = entries.map(p -> p.getFileName().toString())
                    .filter(n -> PICKLES.stream().anyMatch(n::endsWith))
                    .sorted()
                    .findFirst()
                    .orElse(null);
        } catch (IOException e) {
            return new QloraException(directory + ": cannot be listed: " + Reason.of(e), e);
        }
        if (pickle == null) {
            return new QloraException(directory + ": neither " + SINGLE + " nor " + INDEX + " is there");
        }
        return new QloraException(directory + ": the weights are a Python pickle (" + pickle
                + "), which is not read: a pickle can run any code. Convert it once in Python:\n  from transformers import"
                + " AutoModelForCausalLM\n  AutoModelForCausalLM.from_pretrained('" + directory
                + "', weights_only=True).save_pretrained('" + directory + "-safetensors')");
    }

    /** The directory. */
    public Path path() {
        return directory;
    }

    /** Whether there is such a tensor. */
    public boolean has(String name) {
        return fileOf.containsKey(name);
    }

    /** The names of all tensors, file by file; not modifiable. */
    public Set<String> names() {
        return fileOf.keySet();
    }

    /**
     * What the header says of a tensor.
     *
     * @throws QloraException if there is no such tensor
     */
    public TensorInfo info(String name) {
        return file(name).info(name);
    }

    /** The file that holds a tensor. */
    public Path fileOf(String name) {
        return file(name).path();
    }

    /**
     * Reads a tensor into new memory of the engine, in the dtype it is stored in.
     *
     * @param manager the owner of the result
     * @throws QloraException if there is no such tensor or its bytes cannot be read
     */
    public NDArray read(NDManager manager, String name) {
        return file(name).read(manager, name);
    }

    /** The open file that holds a tensor, for its raw bytes; it stays this directory's to close. */
    public SafetensorsFile file(String name) {
        SafetensorsFile file = fileOf.get(name);
        if (file == null) {
            throw new QloraException(directory + ": there is no tensor " + name);
        }
        return file;
    }

    /** The metadata of the first file, {@code {"format": "pt"}} as Python writes it. */
    public Map<String, String> metadata() {
        return files.isEmpty() ? Map.of() : files.iterator().next().metadata();
    }

    @Override
    public void close() {
        files.forEach(SafetensorsFile::close);
    }
}
