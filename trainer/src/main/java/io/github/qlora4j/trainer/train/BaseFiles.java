package io.github.qlora4j.trainer.train;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.Reason;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.stream.Stream;

/** What the files of a run's base are recognized by, from one run to the next and while one reads them. */
final class BaseFiles {

    private static final int HEAD_BYTES = 1 << 16;

    private BaseFiles() {}

    /** A hash of {@code config.json} and of each weight file's name, size and first 64 KiB, its header's greater part. */
    static String fingerprint(Path directory) {
        try (Stream<Path> entries = Files.list(directory)) {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            for (Path file : entries.sorted().toList()) {
                String name = file.getFileName().toString();
                if (name.equals("config.json") || name.endsWith(".safetensors")) {
                    digest.update((name + " " + Files.size(file) + "\n").getBytes(StandardCharsets.UTF_8));
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
