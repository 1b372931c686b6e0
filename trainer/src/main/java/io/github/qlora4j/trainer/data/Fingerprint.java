package io.github.qlora4j.trainer.data;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.Reason;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;

/** SHA-256 of what decides the tokens of rows. */
final class Fingerprint {

    private static final int VERSION = 1;

    private Fingerprint() {}

    static String of(DataSource source, List<Path> files, RowEncoder encoder) {
        StringBuilder all = new StringBuilder("rows ").append(VERSION).append('\n');
        all.append(encoder.definition()).append('\n');
        all.append(source.format()).append('\n').append(source.fields()).append('\n');
        // With "error" a bad row must be met again, not skipped by way of what "skip" has cached.
        all.append(source.onBadRow()).append('\n');
        for (Path file : files) {
            all.append(ofFile(file)).append('\n');
        }
        return of(all.toString());
    }

    static String of(List<Example> examples) {
        MessageDigest digest = sha256();
        for (Example example : examples) {
            ByteBuffer bytes = ByteBuffer.allocate(4 + 8 * example.length()).putInt(example.length());
            for (int i = 0; i < example.length(); i++) {
                bytes.putInt(example.inputIds()[i]).putInt(example.labels()[i]);
            }
            digest.update(bytes.flip());
        }
        return hex(digest);
    }

    static String of(String text) {
        MessageDigest digest = sha256();
        digest.update(text.getBytes(StandardCharsets.UTF_8));
        return hex(digest);
    }

    private static String ofFile(Path file) {
        MessageDigest digest = sha256();
        try (InputStream in = Files.newInputStream(file)) {
            byte[] block = new byte[1 << 16];
            for (int n = in.read(block); n >= 0; n = in.read(block)) {
                digest.update(block, 0, n);
            }
        } catch (IOException e) {
            throw new QloraException(file + ": cannot be read: " + Reason.of(e), e);
        }
        return hex(digest);
    }

    private static String hex(MessageDigest digest) {
        return HexFormat.of().formatHex(digest.digest());
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }
}
