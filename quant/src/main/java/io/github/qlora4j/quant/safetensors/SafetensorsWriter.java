package io.github.qlora4j.quant.safetensors;

import ai.djl.ndarray.NDArray;
import com.google.gson.stream.JsonWriter;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.Reason;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.io.IOException;
import java.io.StringWriter;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * Writes a safetensors file a tensor at a time: into {@code FILE.tmp}, moved into place by {@link #finish()}.
 *
 * <p>Tensors may be written in any order, each once. Their bytes are laid out as the reference writer does (wide
 * elements first, then by name), which keeps every tensor aligned to its element size; Python cannot read unaligned
 * ones. Closing without {@code finish()} deletes the unfinished file, so that a half-written one is never seen. The
 * caller closes.
 */
public final class SafetensorsWriter implements AutoCloseable {

    private static final long WINDOW = 1L << 30;

    /** The reference writer's order of element types, widest first ({@code Dtype} in its tensor.rs, downwards). */
    private static final List<Dtype> LAYOUT = List.of(
            Dtype.INT64,
            Dtype.FLOAT64,
            Dtype.FLOAT32,
            Dtype.INT32,
            Dtype.BFLOAT16,
            Dtype.FLOAT16,
            Dtype.INT16,
            Dtype.INT8,
            Dtype.UINT8,
            Dtype.BOOL);

    private final Path file;
    private final Path temporary;
    private final FileChannel channel;
    private final Map<String, TensorInfo> layout;
    private final Set<String> missing;
    private boolean finished;

    private SafetensorsWriter(Path file, Path temporary, FileChannel channel, Map<String, TensorInfo> layout) {
        this.file = file;
        this.temporary = temporary;
        this.channel = channel;
        this.layout = layout;
        this.missing = new HashSet<>(layout.keySet());
    }

    /**
     * Begins a file and writes its header.
     *
     * @param metadata goes into {@code __metadata__}; {@code {"format": "pt"}} is what Python's readers expect
     * @throws QloraException if the file cannot be made, or the disk has no room for it
     */
    public static SafetensorsWriter create(Path file, Map<String, String> metadata, List<TensorSpec> specs) {
        List<TensorSpec> sorted = new ArrayList<>(specs);
        sorted.sort(Comparator.<TensorSpec>comparingInt(s -> LAYOUT.indexOf(s.dtype()))
                .thenComparing(TensorSpec::name, SafetensorsWriter::compareUtf8));
        byte[] header = header(file, metadata, sorted);
        Map<String, TensorInfo> layout = new LinkedHashMap<>();
        long at = SafetensorsHeader.PREFIX_BYTES + header.length;
        for (TensorSpec spec : sorted) {
            long length = spec.byteLength();
            layout.put(spec.name(), new TensorInfo(spec.name(), spec.dtype(), spec.shape(), at, length));
            at += length;
        }
        Path temporary = file.resolveSibling(file.getFileName() + ".tmp");
        SafetensorsWriter writer = null;
        try {
            Path directory = file.toAbsolutePath().getParent();
            Files.createDirectories(directory);
            long room = Files.getFileStore(directory).getUsableSpace();
            if (room < at) {
                throw new QloraException(file + ": " + at + " bytes are needed, the disk has room for " + room
                        + "; nothing was written");
            }
            FileChannel channel = FileChannel.open(
                    temporary,
                    StandardOpenOption.CREATE,
                    StandardOpenOption.TRUNCATE_EXISTING,
                    StandardOpenOption.WRITE);
            writer = new SafetensorsWriter(file, temporary, channel, layout);
            ByteBuffer start = ByteBuffer.allocate(SafetensorsHeader.PREFIX_BYTES + header.length)
                    .order(ByteOrder.LITTLE_ENDIAN);
            start.putLong(header.length).put(header).flip();
            writer.writeFully(start, 0);
            SafetensorsWriter begun = writer;
            writer = null;
            return begun;
        } catch (IOException e) {
            throw new QloraException(file + ": cannot be written: " + Reason.of(e), e);
        } finally {
            if (writer != null) {
                writer.close();
            }
        }
    }

    /** Writes a file of tensors that are all at hand. */
    public static void writeAll(Path file, Map<String, String> metadata, Map<String, NDArray> tensors) {
        List<TensorSpec> specs = new ArrayList<>();
        tensors.forEach((name, tensor) -> specs.add(new TensorSpec(name, Torch.dtype(tensor), Torch.shape(tensor))));
        try (SafetensorsWriter writer = create(file, metadata, specs)) {
            tensors.forEach(writer::write);
            writer.finish();
        }
    }

    /**
     * Writes one tensor, which must have the dtype and shape it was declared with.
     *
     * @throws QloraException if the disk is full or fails
     */
    public void write(String name, NDArray tensor) {
        TensorInfo info = declared(name);
        if (Torch.dtype(tensor) != info.dtype() || !Arrays.equals(Torch.shape(tensor), info.shape())) {
            throw new IllegalArgumentException("declared as " + info + ", got "
                    + Torch.dtype(tensor).torchName() + " " + Arrays.toString(Torch.shape(tensor)));
        }
        // A view's bytes are not one behind the other; a plain tensor is copied too, which is cheap next to the disk.
        try (NDArray contiguous = Torch.copy(tensor.getManager(), tensor)) {
            for (long at = 0; at < info.byteLength(); at += WINDOW) {
                writeAt(info, Torch.bytes(contiguous, at, Math.min(WINDOW, info.byteLength() - at)), at);
            }
        }
        missing.remove(name);
    }

    /** Writes one tensor from all its bytes, little-endian. */
    public void write(String name, ByteBuffer bytes) {
        TensorInfo info = declared(name);
        if (bytes.remaining() != info.byteLength()) {
            throw new IllegalArgumentException(
                    name + ": " + info.byteLength() + " bytes were declared, got " + bytes.remaining());
        }
        writeAt(info, bytes.duplicate(), 0);
        missing.remove(name);
    }

    private TensorInfo declared(String name) {
        TensorInfo info = layout.get(name);
        if (info == null || !missing.contains(name)) {
            throw new IllegalArgumentException(name + (info == null ? " was not declared" : " is already written"));
        }
        return info;
    }

    private void writeAt(TensorInfo info, ByteBuffer bytes, long from) {
        try {
            writeFully(bytes, info.offset() + from);
        } catch (IOException e) {
            throw new QloraException(
                    SafetensorsHeader.tensorAt(file, info.name()) + ": cannot be written: " + Reason.of(e), e);
        }
    }

    private void writeFully(ByteBuffer bytes, long position) throws IOException {
        long at = position;
        while (bytes.hasRemaining()) {
            at += channel.write(bytes, at);
        }
    }

    /** Whether every declared tensor has been written. */
    boolean complete() {
        return missing.isEmpty();
    }

    /**
     * Brings the file onto the disk and moves it into place.
     *
     * @throws IllegalStateException if a declared tensor was not written
     */
    public void finish() {
        if (!missing.isEmpty()) {
            throw new IllegalStateException(file + ": " + missing.size() + " tensors were not written, "
                    + missing.iterator().next() + " for one");
        }
        try {
            channel.force(true);
            channel.close();
            Files.move(temporary, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
            finished = true;
        } catch (IOException e) {
            throw new QloraException(file + ": cannot be written: " + Reason.of(e), e);
        }
    }

    @Override
    public void close() {
        if (finished) {
            return;
        }
        try {
            channel.close();
            Files.deleteIfExists(temporary);
        } catch (IOException e) {
            // The file in place is untouched; a later writer overwrites what is left of this one.
        }
    }

    private static byte[] header(Path file, Map<String, String> metadata, List<TensorSpec> sorted) {
        StringWriter text = new StringWriter();
        try (JsonWriter json = new JsonWriter(text)) {
            json.beginObject();
            if (!metadata.isEmpty()) {
                json.name(SafetensorsHeader.METADATA_KEY).beginObject();
                // Sorted: the order of a Map.of is another one in each JVM, and equal contents shall give equal bytes.
                for (Map.Entry<String, String> entry : new TreeMap<>(metadata).entrySet()) {
                    json.name(entry.getKey()).value(entry.getValue());
                }
                json.endObject();
            }
            Set<String> names = new HashSet<>();
            long at = 0;
            for (TensorSpec spec : sorted) {
                if (!names.add(spec.name()) || spec.name().equals(SafetensorsHeader.METADATA_KEY)) {
                    throw new IllegalArgumentException(file + ": a second tensor named " + spec.name());
                }
                json.name(spec.name()).beginObject();
                json.name("dtype").value(spec.dtype().safetensors());
                json.name("shape").beginArray();
                for (long length : spec.shape()) {
                    json.value(length);
                }
                json.endArray();
                json.name("data_offsets").beginArray();
                json.value(at);
                at = Math.addExact(at, spec.byteLength());
                json.value(at).endArray().endObject();
            }
            json.endObject();
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
        // Padded to eight bytes with spaces, so that the data begins aligned.
        byte[] bytes = text.toString().getBytes(StandardCharsets.UTF_8);
        byte[] padded = Arrays.copyOf(bytes, (bytes.length + 7) / 8 * 8);
        Arrays.fill(padded, bytes.length, padded.length, (byte) ' ');
        if (padded.length > SafetensorsHeader.MAX_HEADER_BYTES) {
            throw new QloraException(file + ": a header of " + padded.length + " bytes is more than readers accept");
        }
        return padded;
    }

    /** Rust and Python order names by code point, Java's strings by UTF-16 unit. */
    private static int compareUtf8(String a, String b) {
        return Arrays.compareUnsigned(a.getBytes(StandardCharsets.UTF_8), b.getBytes(StandardCharsets.UTF_8));
    }
}
