package io.github.qlora4j.quant;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.internal.NewDirectory;
import io.github.qlora4j.quant.internal.StrictJson;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.safetensors.ShardedSafetensorsWriter;
import io.github.qlora4j.quant.safetensors.TensorInfo;
import io.github.qlora4j.quant.safetensors.TensorSpec;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Predicate;

/**
 * Turns a model directory into one whose linear layers are stored in four bits, as transformers loads it.
 *
 * <p>One tensor is in memory at a time. The length of a weight's state is known only once it is quantized, and a file
 * begins with all lengths; so the quantized tensors go to a spool on the disk first. The directory is built beside its
 * place and moved there whole.
 *
 * @param config how linear layers are quantized
 * @param compute the dtype of their products, for {@code config.json}
 * @param kernel who quantizes
 * @param maxShardBytes the most tensor bytes of one file
 */
public record ModelQuantizer(FourBitConfig config, Dtype compute, Kernel kernel, long maxShardBytes) {

    private static final long WINDOW = 1L << 30;

    private record Spooled(TensorSpec spec, long position) {}

    /**
     * Quantizes a model.
     *
     * @param model the directory to read, unquantized
     * @param output the directory to make; it must not be there, or be empty
     * @param linear picks the weights to quantize by full name, {@code model.layers.0.mlp.up_proj.weight} for instance
     * @throws QloraException if the model cannot be read, is quantized already, or the output cannot be written
     */
    public void quantize(Path model, Path output, Predicate<String> linear) {
        try (ModelDirectory source = ModelDirectory.open(model)) {
            JsonObject settings = StrictJson.readObject(model.resolve("config.json"));
            if (settings.has("quantization_config") || FourBitCheckpoint.isQuantized(source)) {
                throw new QloraException(model + ": this model is quantized already");
            }
            List<String> names = source.names().stream().filter(linear).toList();
            names.forEach(name -> checkMatrix(source, name));
            if (names.isEmpty()) {
                throw new QloraException(
                        model + ": none of its " + source.names().size() + " tensors is a linear layer to quantize");
            }
            try (NewDirectory directory = NewDirectory.begin(output, bytes(source, names))) {
                write(source, names, directory.path());
                directory.copyOthers(model);
                writeConfig(settings, directory.path());
                directory.finish();
            }
        } catch (IOException e) {
            throw new QloraException(output + ": cannot be written: " + e, e);
        }
    }

    private static void checkMatrix(ModelDirectory source, String name) {
        TensorInfo info = source.info(name);
        if (info.shape().length != 2 || !info.dtype().isFloating()) {
            throw new QloraException(source.fileOf(name) + ": tensor " + name
                    + ": a linear layer's floating-point matrix was expected, found " + info);
        }
    }

    /** What the disk must have room for meanwhile. */
    private long bytes(ModelDirectory source, List<String> quantized) {
        long needed = 0;
        for (String name : source.names()) {
            TensorInfo info = source.info(name);
            // twice: in the spool and in the file; 2 KiB for the maps and the state
            needed += quantized.contains(name) ? 2 * (config.bytes(info.elements()) + 2048) : info.byteLength();
        }
        return needed;
    }

    private void write(ModelDirectory source, List<String> linear, Path directory) throws IOException {
        Path file = directory.resolve("quantized.spool");
        try (FileChannel spool = FileChannel.open(
                file, StandardOpenOption.CREATE_NEW, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            Map<String, Spooled> spooled = new HashMap<>();
            List<TensorSpec> specs = new ArrayList<>();
            for (String name : source.names()) {
                if (linear.contains(name)) {
                    spool(source, name, spool, spooled, specs);
                } else {
                    TensorInfo info = source.info(name);
                    specs.add(new TensorSpec(name, info.dtype(), info.shape()));
                }
            }
            try (ShardedSafetensorsWriter writer =
                    ShardedSafetensorsWriter.create(directory, Map.of("format", "pt"), specs, maxShardBytes)) {
                for (TensorSpec spec : specs) {
                    try (NDManager manager = Torch.newManager()) {
                        Spooled part = spooled.get(spec.name());
                        writer.write(
                                spec.name(),
                                part == null ? source.read(manager, spec.name()) : read(manager, spool, part));
                    }
                }
                writer.finish();
            }
        }
        Files.delete(file);
    }

    private void spool(
            ModelDirectory source, String name, FileChannel spool, Map<String, Spooled> spooled, List<TensorSpec> specs)
            throws IOException {
        try (NDManager manager = Torch.newManager();
                FourBitWeight weight = FourBitWeight.quantize(source.read(manager, name), config, kernel)) {
            for (Map.Entry<String, NDArray> part :
                    FourBitCheckpoint.tensors(manager, name, weight).entrySet()) {
                NDArray tensor = part.getValue();
                TensorSpec spec = new TensorSpec(part.getKey(), Torch.dtype(tensor), Torch.shape(tensor));
                spooled.put(spec.name(), new Spooled(spec, spool.size()));
                specs.add(spec);
                for (long at = 0; at < spec.byteLength(); at += WINDOW) {
                    ByteBuffer bytes = Torch.bytes(tensor, at, Math.min(WINDOW, spec.byteLength() - at));
                    long end = spool.size();
                    while (bytes.hasRemaining()) {
                        end += spool.write(bytes, end);
                    }
                }
            }
        } catch (QloraException e) {
            throw new QloraException(source.fileOf(name) + ": tensor " + name + ": " + e.getMessage(), e);
        }
    }

    private static NDArray read(NDManager manager, FileChannel spool, Spooled part) throws IOException {
        NDArray tensor = Torch.empty(manager, part.spec().dtype(), part.spec().shape());
        long length = part.spec().byteLength();
        for (long at = 0; at < length; at += WINDOW) {
            ByteBuffer bytes = Torch.bytes(tensor, at, Math.min(WINDOW, length - at));
            long from = part.position() + at;
            while (bytes.hasRemaining()) {
                int read = spool.read(bytes, from);
                if (read < 0) {
                    throw new IOException("the spool ends early");
                }
                from += read;
            }
        }
        return tensor;
    }

    private void writeConfig(JsonObject settings, Path directory) throws IOException {
        Map<String, com.google.gson.JsonElement> sorted = new TreeMap<>(settings.asMap());
        sorted.put("quantization_config", FourBitCheckpoint.quantizationConfig(config, compute));
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
}
