package io.github.qlora4j.trainer.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.MatrixQuantizer;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.Reason;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.safetensors.SafetensorsFile;
import io.github.qlora4j.quant.safetensors.SafetensorsWriter;
import io.github.qlora4j.quant.torch.Dtype;
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
    private final MatrixQuantizer quantizer;
    private final long bytesPerBlock;

    private OffloadFolder(Path folder, String fingerprint, MatrixQuantizer quantizer, long bytesPerBlock) {
        this.folder = folder;
        this.fingerprint = fingerprint;
        this.quantizer = quantizer;
        this.bytesPerBlock = bytesPerBlock;
    }

    /**
     * The folder for a model.
     *
     * @param dtype what weights are cast to before they are quantized
     * @param blocks how many are to lie there
     * @throws QloraException if {@code options} name none
     */
    static OffloadFolder of(ModelDirectory model, ModelConfig config, BaseOptions options, Dtype dtype, int blocks) {
        Path folder = options.placement()
                .offloadFolder()
                .orElseThrow(() -> new QloraException("model.device_map: " + blocks + " of "
                        + config.numHiddenLayers() + " blocks lie on the disk and are quantized while loading; name a"
                        + " folder for them in model.offload_folder (--offload-folder), or quantize the base once by the"
                        + " verb quantize and give that directory"));
        MatrixQuantizer quantizer = options.quantizer().orElseThrow();
        // the mean that double quantization takes off depends on the number of threads
        String settings = String.join(
                " ",
                "1",
                String.valueOf(options.fourBit()),
                options.eightBit().isPresent() ? "int8" : "",
                dtype.torchName(),
                "threads " + Torch.threads(),
                options.skipModules().toString());
        long bytes = config.family().linears(config).stream()
                .mapToLong(linear -> quantizer.bytes(linear.out() * linear.in(), linear.out()))
                .sum();
        return new OffloadFolder(folder, fingerprint(model, settings), quantizer, bytes);
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

    /** Reads a layer's matrix in the dtype that it is quantized from. */
    interface Matrices {
        NDArray read(NDManager manager, String module);
    }

    /**
     * Opens the blocks, after writing those that are not there yet.
     *
     * @param modules the linear layers to quantize, by full name, of each block
     * @throws QloraException if the disk has no room, or the folder holds other files of these names
     */
    ModelDirectory open(Map<Integer, List<String>> modules, Matrices matrices) {
        try {
            Files.createDirectories(folder);
            // a file lock holds between processes alone
            synchronized (OffloadFolder.class) {
                try (FileChannel lock = FileChannel.open(
                                folder.resolve("offload.lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
                        FileLock held = lock.lock()) {
                    write(modules, matrices);
                    return ModelDirectory.open(
                            folder, modules.keySet().stream().map(this::file).toList());
                }
            }
        } catch (IOException e) {
            throw new QloraException("model.offload_folder: " + folder + ": cannot be written: " + Reason.of(e), e);
        }
    }

    private void write(Map<Integer, List<String>> modules, Matrices matrices) throws IOException {
        List<Integer> missing =
                modules.keySet().stream().filter(block -> !isCurrent(block)).toList();
        if (missing.isEmpty()) {
            LOG.info("{}: {} quantized blocks are used again", folder, modules.size());
            return;
        }
        long needed = missing.size() * bytesPerBlock;
        long room = Files.getFileStore(folder).getUsableSpace();
        if (room < needed) {
            throw new QloraException("model.offload_folder: " + folder + ": " + needed + " bytes are needed for "
                    + missing.size() + " quantized blocks, the disk has room for " + room
                    + "; nothing was written. Name a folder with more room, or quantize the base once by the verb"
                    + " quantize and give that directory");
        }
        LOG.info("{}: writing {} quantized blocks", folder, missing.size());
        for (int block : missing) {
            write(block, modules.get(block), matrices);
        }
    }

    private void write(int block, List<String> modules, Matrices matrices) {
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
