package io.github.qlora4j.trainer.train;

import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.Int8Scheme;
import io.github.qlora4j.quant.KernelChoice;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.Reason;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.trainer.config.ModelSection;
import io.github.qlora4j.trainer.config.Precision;
import io.github.qlora4j.trainer.config.QuantizationSection;
import io.github.qlora4j.trainer.config.RunConfig;
import io.github.qlora4j.trainer.model.BaseOptions;
import io.github.qlora4j.trainer.model.ComputeDtype;
import io.github.qlora4j.trainer.model.PlacementOptions;
import io.github.qlora4j.trainer.model.SkipModules;
import io.github.qlora4j.trainer.report.Rss;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/** How the base of a run is read, and what it is recognized by. */
public final class BaseSetup {

    private static final int HEAD_BYTES = 1 << 16;

    private BaseSetup() {}

    /** The options that a configuration stands for, {@code auto} resolved on this machine. */
    public static BaseOptions options(RunConfig config) {
        return options(config.model(), Optional.ofNullable(config.quantization()));
    }

    /** The options that the two sections stand for. */
    public static BaseOptions options(ModelSection model, Optional<QuantizationSection> quantization) {
        return inMemory(model, quantization).withPlacement(placement(model, quantization));
    }

    private static PlacementOptions placement(ModelSection model, Optional<QuantizationSection> quantization) {
        return new PlacementOptions(
                Optional.ofNullable(model.deviceMap()),
                model.maxMemory(),
                Optional.ofNullable(model.offloadFolder()),
                quantization
                        .map(QuantizationSection::llmInt8EnableFp32CpuOffload)
                        .orElse(false),
                Rss.freeBytes());
    }

    private static BaseOptions inMemory(ModelSection model, Optional<QuantizationSection> quantization) {
        Optional<Dtype> dtype = dtype(model.dtype());
        if (quantization.isEmpty()) {
            return new BaseOptions(
                    dtype,
                    Optional.empty(),
                    Optional.empty(),
                    Dtype.FLOAT32,
                    model.upcast(),
                    SkipModules.DEFAULT,
                    KernelChoice.AUTO);
        }
        QuantizationSection q = quantization.get();
        if (!q.loadIn4bit() && !q.loadIn8bit()) {
            return new BaseOptions(
                    dtype,
                    Optional.empty(),
                    Optional.empty(),
                    Dtype.FLOAT32,
                    model.upcast(),
                    SkipModules.DEFAULT,
                    KernelChoice.AUTO,
                    PlacementOptions.inMemory(),
                    q.stored().json());
        }
        if (q.loadIn8bit()) {
            return new BaseOptions(
                    dtype,
                    Optional.empty(),
                    Optional.of(new Int8Scheme(q.llmInt8Threshold())),
                    Dtype.FLOAT32,
                    model.upcast(),
                    skips(q),
                    q.kernel());
        }
        ComputeDtype compute = ComputeDtype.of(q.bnb4bitComputeDtype());
        // where products are float32 because bfloat16 is slow here, the rest of the model would be slow in it too
        boolean upcast =
                model.upcast() || q.bnb4bitComputeDtype() == Precision.AUTO && compute.dtype() == Dtype.FLOAT32;
        return new BaseOptions(
                dtype,
                Optional.of(new FourBitConfig(q.bnb4bitQuantType(), q.blocksize(), q.bnb4bitUseDoubleQuant())),
                Optional.empty(),
                compute.dtype(),
                upcast,
                skips(q),
                q.kernel());
    }

    private static SkipModules skips(QuantizationSection section) {
        return section.llmInt8SkipModules() == null
                ? SkipModules.DEFAULT
                : SkipModules.of(section.llmInt8SkipModules().names());
    }

    /** The dtype of a precision; empty for {@code auto}. */
    public static Optional<Dtype> dtype(Precision precision) {
        return switch (precision) {
            case AUTO -> Optional.empty();
            case FLOAT32 -> Optional.of(Dtype.FLOAT32);
            case BFLOAT16 -> Optional.of(Dtype.BFLOAT16);
            case FLOAT16 -> Optional.of(Dtype.FLOAT16);
        };
    }

    /** A hash of {@code config.json} and of each weight file's name, size and first 64 KiB, its header's greater part. */
    static String fingerprint(Path directory) {
        try (Stream<Path> entries = Files.list(directory)) {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            for (Path file : entries.sorted().toList()) {
                String name = file.getFileName().toString();
                if (name.equals("config.json") || name.endsWith(".safetensors")) {
                    digest.update(
                            (name + " " + Files.size(file) + "\n").getBytes(java.nio.charset.StandardCharsets.UTF_8));
                    try (InputStream in = Files.newInputStream(file)) {
                        digest.update(in.readNBytes(HEAD_BYTES));
                    }
                }
            }
            return HexFormat.of().formatHex(digest.digest());
        } catch (IOException e) {
            throw new QloraException("model.path: " + directory + " cannot be read: " + Reason.of(e), e);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Name, size and time of each file of a model directory, which are others when somebody has changed one. */
    static List<String> stamp(Path directory) {
        try (Stream<Path> entries = Files.list(directory)) {
            List<String> stamp = new ArrayList<>();
            for (Path file : entries.filter(Files::isRegularFile).sorted().toList()) {
                BasicFileAttributes now = Files.readAttributes(file, BasicFileAttributes.class);
                stamp.add(file.getFileName() + ", " + now.size() + " bytes of " + now.lastModifiedTime() + ", "
                        + now.fileKey());
            }
            return stamp;
        } catch (IOException e) {
            throw new QloraException("model.path: " + directory + " cannot be read: " + Reason.of(e), e);
        }
    }

    /**
     * Checks that what was read is one model.
     *
     * @param before the stamp from before the first file was read
     * @throws QloraException if a file was changed since then
     */
    static void requireUnchanged(Path directory, List<String> before) {
        List<String> changed = new ArrayList<>(stamp(directory));
        if (changed.equals(before)) {
            return;
        }
        changed.removeAll(before);
        throw new QloraException("model.path: " + directory + " was changed while the run was reading it"
                + (changed.isEmpty() ? ": files are gone" : ": " + changed.get(0))
                + "\n  Start again when nobody writes there.");
    }
}
