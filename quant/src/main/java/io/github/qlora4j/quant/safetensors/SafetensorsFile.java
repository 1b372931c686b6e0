package io.github.qlora4j.quant.safetensors;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.Reason;
import io.github.qlora4j.quant.torch.Torch;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Map;

/**
 * A safetensors file, read a tensor at a time.
 *
 * <pre>{@code
 * try (SafetensorsFile file = SafetensorsFile.open(path);
 *         NDManager manager = Torch.newManager()) {
 *     NDArray weight = file.read(manager, "lm_head.weight");
 * }
 * }</pre>
 *
 * <p>Opening reads and checks the header alone; the caller closes the file. Several threads may read at once. Format:
 * github.com/huggingface/safetensors.
 */
public final class SafetensorsFile implements AutoCloseable {

    /** The most that is read in one go; a direct buffer cannot hold 2 GiB. */
    private static final long WINDOW = 1L << 30;

    private final Path path;
    private final FileChannel channel;
    private final SafetensorsHeader header;

    private SafetensorsFile(Path path, FileChannel channel, SafetensorsHeader header) {
        this.path = path;
        this.channel = channel;
        this.header = header;
    }

    /**
     * Opens a file and checks its header.
     *
     * @throws QloraException if the file is missing, cannot be read, or is not a whole safetensors file
     */
    public static SafetensorsFile open(Path file) {
        if (Files.isDirectory(file)) {
            throw new QloraException(file + ": this is a directory; a safetensors file was expected");
        }
        FileChannel channel = null;
        try {
            channel = FileChannel.open(file, StandardOpenOption.READ);
            SafetensorsFile opened = new SafetensorsFile(file, channel, readHeader(file, channel));
            channel = null;
            return opened;
        } catch (NoSuchFileException e) {
            throw new QloraException(file + ": no such file", e);
        } catch (IOException e) {
            throw new QloraException(file + ": cannot be read: " + Reason.of(e), e);
        } finally {
            closeQuietly(channel);
        }
    }

    private static SafetensorsHeader readHeader(Path file, FileChannel channel) throws IOException {
        long size = channel.size();
        if (size < SafetensorsHeader.PREFIX_BYTES + 2) {
            throw new QloraException(
                    file + ": " + size + " bytes are too few for a safetensors file; it is empty or cut");
        }
        ByteBuffer prefix = ByteBuffer.allocate(SafetensorsHeader.PREFIX_BYTES).order(ByteOrder.LITTLE_ENDIAN);
        readFully(file, channel, prefix, 0);
        long length = prefix.getLong(0);
        // Checked before anything of that size is allocated: the number comes from the file.
        if (length < 0 || length > SafetensorsHeader.MAX_HEADER_BYTES) {
            throw new QloraException(file + ": a header of " + Long.toUnsignedString(length) + " bytes is announced, "
                    + SafetensorsHeader.MAX_HEADER_BYTES + " is the most; this is not a safetensors file");
        }
        if (length > size - SafetensorsHeader.PREFIX_BYTES) {
            throw new QloraException(file + ": a header of " + length + " bytes is announced, the file has " + size
                    + " bytes in all; it is cut, or not a safetensors file");
        }
        byte[] json = new byte[(int) length];
        readFully(file, channel, ByteBuffer.wrap(json), SafetensorsHeader.PREFIX_BYTES);
        return SafetensorsHeader.parse(file, json, size);
    }

    /** The file. */
    public Path path() {
        return path;
    }

    /** The tensors by name, in the order of their bytes; not modifiable. */
    public Map<String, TensorInfo> tensors() {
        return header.tensors();
    }

    /** The header's {@code __metadata__}, empty where there is none; not modifiable. */
    public Map<String, String> metadata() {
        return header.metadata();
    }

    /**
     * What the header says of one tensor.
     *
     * @throws QloraException if there is no such tensor
     */
    public TensorInfo info(String name) {
        TensorInfo info = header.tensors().get(name);
        if (info == null) {
            throw new QloraException(SafetensorsHeader.tensorAt(path, name) + ": it is not in the file, which holds "
                    + header.tensors().size() + " others");
        }
        return info;
    }

    /**
     * Reads a tensor into new memory of the engine, in the dtype it is stored in.
     *
     * @param manager the owner of the result
     * @throws QloraException if there is no such tensor or its bytes cannot be read
     */
    public NDArray read(NDManager manager, String name) {
        TensorInfo info = info(name);
        NDArray tensor = Torch.empty(manager, info.dtype(), info.shape());
        try {
            readInto(info, tensor);
            NDArray whole = tensor;
            tensor = null;
            return whole;
        } finally {
            if (tensor != null) {
                tensor.close();
            }
        }
    }

    // The bytes are copied, never mapped for native code: touching a mapped page of a file that was cut meanwhile is a
    // SIGBUS, which ends the JVM.
    private void readInto(TensorInfo info, NDArray tensor) {
        for (long at = 0; at < info.byteLength(); at += WINDOW) {
            ByteBuffer window = Torch.bytes(tensor, at, Math.min(WINDOW, info.byteLength() - at));
            read(info.name(), at, window);
        }
    }

    /**
     * Reads a tensor's stored bytes, little-endian, until the buffer is full.
     *
     * @param from the first byte to read, counted from the tensor's first
     * @throws QloraException if there is no such tensor, it has fewer bytes, or they cannot be read
     */
    public void read(String name, long from, ByteBuffer target) {
        TensorInfo info = info(name);
        if (from < 0 || target.remaining() > info.byteLength() - from) {
            throw new QloraException(SafetensorsHeader.tensorAt(path, name) + ": bytes " + from + " to "
                    + (from + target.remaining()) + " were asked for, it has " + info.byteLength());
        }
        try {
            readFully(path, channel, target, info.offset() + from);
        } catch (IOException e) {
            throw new QloraException(SafetensorsHeader.tensorAt(path, name) + ": cannot be read: " + Reason.of(e), e);
        }
    }

    private static void readFully(Path file, FileChannel channel, ByteBuffer target, long position) throws IOException {
        long at = position;
        while (target.hasRemaining()) {
            int read = channel.read(target, at);
            if (read < 0) {
                throw new QloraException(file + ": it ends at byte " + at + ", " + target.remaining()
                        + " bytes early; it was cut after it was opened");
            }
            at += read;
        }
    }

    @Override
    public void close() {
        closeQuietly(channel);
    }

    private static void closeQuietly(FileChannel channel) {
        if (channel != null) {
            try {
                channel.close();
            } catch (IOException e) {
                // Nothing was written, so nothing can be lost.
            }
        }
    }
}
