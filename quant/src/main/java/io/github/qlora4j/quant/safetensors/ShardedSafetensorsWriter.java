package io.github.qlora4j.quant.safetensors;

import ai.djl.ndarray.NDArray;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.Reason;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;

/**
 * Writes a model's tensors into one {@code model.safetensors}, or into shards with an index where they are too many.
 *
 * <p>Tensors are dealt out in the order they are declared, as {@code save_pretrained} does
 * (huggingface_hub's {@code split_torch_state_dict_into_shards}): a shard is full when the next tensor would not fit, and a tensor
 * larger than a shard gets one of its own. Shards are moved into place as they fill, the index last. Memory: nothing
 * but the headers. The caller closes; without {@link #finish()} there is no index.
 */
public final class ShardedSafetensorsWriter implements AutoCloseable {

    /** What transformers 5 writes into one shard at most: 50 GB. */
    public static final long DEFAULT_SHARD_BYTES = 50_000_000_000L;

    private final Path directory;
    private final Map<String, String> metadata;
    private final List<List<TensorSpec>> shards;
    private final Map<String, Integer> shardOf = new HashMap<>();
    private final Map<Integer, SafetensorsWriter> open = new HashMap<>();
    private final long totalBytes;
    private int finishedShards;

    private ShardedSafetensorsWriter(
            Path directory, Map<String, String> metadata, List<List<TensorSpec>> shards, long totalBytes) {
        this.directory = directory;
        this.metadata = metadata;
        this.shards = shards;
        this.totalBytes = totalBytes;
        for (int i = 0; i < shards.size(); i++) {
            for (TensorSpec spec : shards.get(i)) {
                if (shardOf.put(spec.name(), i) != null) {
                    throw new IllegalArgumentException(directory + ": a second tensor named " + spec.name());
                }
            }
        }
    }

    /**
     * Begins a model's files in a directory.
     *
     * @param maxShardBytes the most tensor bytes of one file, at least 1
     * @throws QloraException if the disk has no room for them
     */
    public static ShardedSafetensorsWriter create(
            Path directory, Map<String, String> metadata, List<TensorSpec> specs, long maxShardBytes) {
        if (maxShardBytes < 1) {
            throw new IllegalArgumentException("must be >= 1: maxShardBytes=" + maxShardBytes);
        }
        List<List<TensorSpec>> shards = new ArrayList<>();
        List<TensorSpec> current = new ArrayList<>();
        long size = 0;
        long total = 0;
        for (TensorSpec spec : specs) {
            long bytes = spec.byteLength();
            total = Math.addExact(total, bytes);
            if (bytes > maxShardBytes) {
                shards.add(List.of(spec));
                continue;
            }
            if (size + bytes > maxShardBytes) {
                shards.add(current);
                current = new ArrayList<>();
                size = 0;
            }
            current.add(spec);
            size += bytes;
        }
        if (!current.isEmpty() || shards.isEmpty()) {
            shards.add(current);
        }
        shards.removeIf(List::isEmpty);
        if (shards.isEmpty()) {
            shards.add(List.of());
        }
        try {
            Files.createDirectories(directory);
            long room = Files.getFileStore(directory).getUsableSpace();
            if (room < total) {
                throw new QloraException(directory + ": " + total + " bytes are needed, the disk has room for " + room
                        + "; nothing was written");
            }
        } catch (IOException e) {
            throw new QloraException(directory + ": cannot be written: " + Reason.of(e), e);
        }
        return new ShardedSafetensorsWriter(directory, Map.copyOf(metadata), shards, total);
    }

    /** The file that a tensor goes into. */
    public Path fileOf(String name) {
        Integer shard = shardOf.get(name);
        if (shard == null) {
            throw new IllegalArgumentException(name + " was not declared");
        }
        return file(shard);
    }

    /** Writes one tensor, which must have the dtype and shape it was declared with. */
    public void write(String name, NDArray tensor) {
        SafetensorsWriter writer = writer(name);
        writer.write(name, tensor);
        finishIfComplete(writer);
    }

    /** Writes one tensor from all its bytes, little-endian. */
    public void write(String name, ByteBuffer bytes) {
        SafetensorsWriter writer = writer(name);
        writer.write(name, bytes);
        finishIfComplete(writer);
    }

    private SafetensorsWriter writer(String name) {
        Path file = fileOf(name);
        int shard = shardOf.get(name);
        return open.computeIfAbsent(shard, s -> SafetensorsWriter.create(file, metadata, shards.get(s)));
    }

    private void finishIfComplete(SafetensorsWriter writer) {
        if (writer.complete()) {
            writer.finish();
            finishedShards++;
        }
    }

    /**
     * Writes the index where there are several shards.
     *
     * @throws IllegalStateException if a declared tensor was not written
     */
    public void finish() {
        if (shards.size() == 1 && shards.get(0).isEmpty()) {
            try (SafetensorsWriter empty = SafetensorsWriter.create(file(0), metadata, List.of())) {
                empty.finish();
            }
            finishedShards = 1;
        }
        if (finishedShards != shards.size()) {
            throw new IllegalStateException(directory + ": " + (shards.size() - finishedShards) + " of " + shards.size()
                    + " files lack a tensor");
        }
        if (shards.size() > 1) {
            writeIndex();
        }
    }

    private void writeIndex() {
        JsonObject totals = new JsonObject();
        totals.addProperty("total_size", totalBytes);
        JsonObject weightMap = new JsonObject();
        new TreeMap<>(shardOf).forEach((name, shard) -> weightMap.addProperty(name, fileName(shard)));
        JsonObject index = new JsonObject();
        index.add("metadata", totals);
        index.add("weight_map", weightMap);
        String text = new GsonBuilder()
                        .setPrettyPrinting()
                        .disableHtmlEscaping()
                        .create()
                        .toJson(index) + "\n";
        Path file = directory.resolve(ModelDirectory.INDEX);
        Path temporary = directory.resolve(ModelDirectory.INDEX + ".tmp");
        try {
            Files.writeString(temporary, text);
            Files.move(temporary, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } catch (IOException e) {
            throw new QloraException(file + ": cannot be written: " + Reason.of(e), e);
        }
    }

    private Path file(int shard) {
        return directory.resolve(fileName(shard));
    }

    private String fileName(int shard) {
        return shards.size() == 1
                ? ModelDirectory.SINGLE
                : String.format(Locale.ROOT, "model-%05d-of-%05d.safetensors", shard + 1, shards.size());
    }

    /** Deletes what is unfinished; finished shards stay. */
    @Override
    public void close() {
        open.values().forEach(SafetensorsWriter::close);
    }
}
