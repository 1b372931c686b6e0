package io.github.qlora4j.trainer.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.MatrixQuantizer;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.Reason;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.safetensors.SafetensorsFile;
import io.github.qlora4j.quant.safetensors.SafetensorsWriter;
import io.github.qlora4j.quant.torch.Torch;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.stream.IntStream;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;

/**
 * The folder of blocks that were quantized while loading and lie on the disk, a file each, in bitsandbytes' format.
 *
 * <p>A file is used again where it was made from the same files of the model by the same settings, which its fingerprint
 * tells; otherwise it is made anew in its place. A file of that name which is none of ours is never overwritten, and
 * nothing is ever deleted. Runs that share a folder wait for each other while one writes.
 */
final class OffloadFolder {

    private static final Logger LOG = LogManager.getLogger(OffloadFolder.class);
    private static final String KEY = "qlora4j_offload";
    private static final int SAMPLES = 64;
    private static final int SAMPLE_BYTES = 4096;

    private final Path folder;
    private final String fingerprint;

    /**
     * Of a model.
     *
     * @param settings all that decides the bytes, in words
     */
    OffloadFolder(Path folder, ModelDirectory model, String settings) {
        this.folder = folder;
        this.fingerprint = fingerprint(model, settings);
    }

    /** Name, size, time and samples of the contents of each file that holds a tensor. */
    private static String fingerprint(ModelDirectory model, String settings) {
        Map<Path, SafetensorsFile> files = new LinkedHashMap<>();
        new TreeSet<>(model.names()).forEach(name -> files.put(model.fileOf(name), model.file(name)));
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            digest.update(settings.getBytes(StandardCharsets.UTF_8));
            for (Path file : new TreeSet<>(files.keySet())) {
                BasicFileAttributes now = Files.readAttributes(file, BasicFileAttributes.class);
                digest.update((file.getFileName() + " " + now.size() + " " + now.lastModifiedTime() + "\n")
                        .getBytes(StandardCharsets.UTF_8));
                try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
                    for (int i = 0; i < SAMPLES; i++) {
                        ByteBuffer sample = ByteBuffer.allocate(SAMPLE_BYTES);
                        channel.read(sample, now.size() / SAMPLES * i);
                        digest.update(sample.flip());
                    }
                }
            }
            return HexFormat.of().formatHex(digest.digest());
        } catch (IOException e) {
            throw new QloraException(model.path() + ": cannot be read: " + Reason.of(e), e);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    private Path file(int block) {
        return folder.resolve("model.layers." + block + ".safetensors");
    }

    /**
     * Opens the blocks, after writing those that are not there yet.
     *
     * @param blocks their indices
     * @param modules the linear layers of a block to quantize, by full name
     * @param matrices reads a layer's matrix, for the manager given
     * @throws QloraException if the disk has no room, or the folder holds other files of these names
     */
    ModelDirectory open(
            int[] blocks, MatrixQuantizer quantizer, BlockModules modules, Matrices matrices, long bytesPerBlock) {
        try {
            Files.createDirectories(folder);
            synchronized (OffloadFolder.class) {
                try (FileChannel lock = FileChannel.open(
                                folder.resolve("offload.lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
                        FileLock held = lock.lock()) {
                    write(blocks, quantizer, modules, matrices, bytesPerBlock);
                    return ModelDirectory.open(
                            folder, IntStream.of(blocks).mapToObj(this::file).toList());
                }
            }
        } catch (IOException e) {
            throw new QloraException("model.offload_folder: " + folder + ": cannot be written: " + Reason.of(e), e);
        }
    }

    /** The linear layers of a block that are quantized. */
    interface BlockModules {
        List<String> of(int block);
    }

    /** Reads a layer's matrix in the dtype that it is quantized from. */
    interface Matrices {
        NDArray read(NDManager manager, String module);
    }

    private void write(
            int[] blocks, MatrixQuantizer quantizer, BlockModules modules, Matrices matrices, long bytesPerBlock)
            throws IOException {
        int[] missing = IntStream.of(blocks).filter(block -> !isCurrent(block)).toArray();
        if (missing.length == 0) {
            LOG.info("{}: {} quantized blocks are used again", folder, blocks.length);
            return;
        }
        long room = Files.getFileStore(folder).getUsableSpace();
        if (room < missing.length * bytesPerBlock) {
            throw new QloraException("model.offload_folder: " + folder + ": " + missing.length * bytesPerBlock
                    + " bytes are needed for " + missing.length + " quantized blocks, the disk has room for " + room
                    + "; nothing was written. Name a folder with more room, or quantize the base once by the verb"
                    + " quantize and give that directory");
        }
        LOG.info("{}: writing {} quantized blocks", folder, missing.length);
        for (int block : missing) {
            write(block, quantizer, modules.of(block), matrices);
        }
    }

    private void write(int block, MatrixQuantizer quantizer, List<String> modules, Matrices matrices) {
        List<MatrixQuantizer.Stored> stored = new ArrayList<>();
        try (NDManager manager = Torch.newManager()) {
            Map<String, NDArray> tensors = new LinkedHashMap<>();
            for (String module : modules) {
                try (NDManager one = Torch.newManager()) {
                    MatrixQuantizer.Stored weight =
                            quantizer.quantize(manager, module + ".weight", matrices.read(one, module));
                    stored.add(weight);
                    tensors.putAll(weight.tensors());
                } catch (QloraException e) {
                    throw new QloraException("tensor " + module + ".weight: " + e.getMessage(), e);
                }
            }
            SafetensorsWriter.writeAll(file(block), Map.of("format", "pt", KEY, fingerprint), tensors);
        } finally {
            stored.forEach(MatrixQuantizer.Stored::close);
        }
    }

    private boolean isCurrent(int block) {
        Path file = file(block);
        if (!Files.exists(file)) {
            return false;
        }
        try (SafetensorsFile found = SafetensorsFile.open(file)) {
            String made = found.metadata().get(KEY);
            if (made == null) {
                throw new QloraException("model.offload_folder: " + file
                        + " is there and was not written for offloading; name a folder of its own");
            }
            return made.equals(fingerprint);
        }
    }
}
