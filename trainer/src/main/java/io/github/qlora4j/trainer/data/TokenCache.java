package io.github.qlora4j.trainer.data;

import io.github.qlora4j.quant.internal.Reason;
import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.zip.CRC32C;
import java.util.zip.CheckedInputStream;
import java.util.zip.CheckedOutputStream;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;

/**
 * One file of tokenized rows, named after the fingerprint of what they were made from.
 *
 * <p>Big-endian: magic, fingerprint, report, then each row's length, first learned place (or -1, with labels behind the ids)
 * and ids, then the CRC-32C of it all. A file that is damaged is made anew. Deleting the directory is safe.
 */
final class TokenCache {

    private static final Logger LOG = LogManager.getLogger(TokenCache.class);
    private static final long MAGIC = 0x51344a544f4b0001L; // "Q4JTOK", version 1
    private static final int LABELS = -1;

    private final Path file;
    private final String fingerprint;

    TokenCache(Path directory, String fingerprint) {
        this.file = directory.resolve("rows-" + fingerprint.substring(0, 32) + ".tokens");
        this.fingerprint = fingerprint;
    }

    /**
     * The rows, where they are there and whole.
     *
     * @param vocabSize that every id must lie below
     */
    Optional<Dataset> read(int vocabSize) {
        if (!Files.isRegularFile(file)) {
            return Optional.empty();
        }
        CRC32C crc = new CRC32C();
        try (DataInputStream in = new DataInputStream(
                new CheckedInputStream(new BufferedInputStream(Files.newInputStream(file), 1 << 16), crc))) {
            Dataset dataset = read(in, Files.size(file), vocabSize);
            long expected = crc.getValue();
            if (in.readLong() != expected || in.read() >= 0) {
                throw new IOException("its checksum does not fit");
            }
            LOG.info("Tokenized rows taken from {}", file);
            return Optional.of(dataset);
        } catch (IOException e) {
            LOG.warn("{} is damaged ({}); the rows are tokenized anew", file, Reason.of(e));
            return Optional.empty();
        }
    }

    private Dataset read(DataInputStream in, long size, int vocabSize) throws IOException {
        if (in.readLong() != MAGIC) {
            throw new IOException("not a cache of this version");
        }
        if (!in.readUTF().equals(fingerprint)) {
            throw new IOException("made from something else");
        }
        DataReport report = new DataReport(
                in.readLong(),
                in.readLong(),
                in.readLong(),
                in.readLong(),
                in.readInt(),
                in.readLong(),
                in.readLong(),
                in.readInt(),
                in.readUTF());
        // Sizes are believed only as far as the file is long.
        if (report.rows() < 0 || 8L * report.rows() > size) {
            throw new IOException("rows: " + report.rows());
        }
        List<Dataset.Held> rows = new ArrayList<>(report.rows());
        for (int r = 0; r < report.rows(); r++) {
            int length = in.readInt();
            int learnedFrom = in.readInt();
            if (length < 0 || 4L * length > size || learnedFrom < LABELS || learnedFrom > length) {
                throw new IOException("row " + r + ": length " + length + ", learned from " + learnedFrom);
            }
            int[] ids = ints(in, length);
            rows.add(new Dataset.Held(ids, Math.max(0, learnedFrom), learnedFrom == LABELS ? ints(in, length) : null));
        }
        check(rows, report, vocabSize);
        return new Dataset(rows, report, fingerprint);
    }

    /** What would be learned from wrongly, or would not fit an embedding, is found here. */
    private static void check(List<Dataset.Held> rows, DataReport report, int vocabSize) throws IOException {
        DatasetBuilder counter = new DatasetBuilder();
        for (Dataset.Held row : rows) {
            boolean ids = row.ids().length > 0 && Arrays.stream(row.ids()).allMatch(id -> id >= 0 && id < vocabSize);
            boolean labels = row.labels() == null
                    || Arrays.stream(row.labels()).allMatch(l -> l == Example.MASKED || l >= 0 && l < vocabSize);
            if (!ids || !labels) {
                throw new IOException("a row has no ids, or such as there are not");
            }
            counter.count(row);
        }
        DataReport counted = counter.report(0, "");
        if (counted.tokens() != report.tokens()
                || counted.learnedTokens() != report.learnedTokens()
                || counted.longest() != report.longest()) {
            throw new IOException("its rows are not those that it counts");
        }
    }

    private static int[] ints(DataInputStream in, int length) throws IOException {
        byte[] bytes = new byte[Math.multiplyExact(4, length)];
        in.readFully(bytes);
        int[] ints = new int[length];
        ByteBuffer.wrap(bytes).asIntBuffer().get(ints);
        return ints;
    }

    /** Writes beside and moves into place; where that fails, a log line says so and nothing else is lost. */
    void write(Dataset dataset) {
        Path temporary = null;
        try {
            Files.createDirectories(file.getParent());
            temporary =
                    Files.createTempFile(file.getParent(), file.getFileName().toString(), ".tmp");
            CRC32C crc = new CRC32C();
            try (DataOutputStream out = new DataOutputStream(new CheckedOutputStream(
                    new BufferedOutputStream(Files.newOutputStream(temporary), 1 << 16), crc))) {
                write(dataset, out);
                out.writeLong(crc.getValue());
            }
            Files.move(temporary, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } catch (IOException e) {
            LOG.warn("Tokenized rows are not kept: {} cannot be written: {}", file, Reason.of(e));
            delete(temporary);
        }
    }

    private void write(Dataset dataset, DataOutputStream out) throws IOException {
        DataReport report = dataset.report();
        out.writeLong(MAGIC);
        out.writeUTF(fingerprint);
        out.writeLong(report.rowsRead());
        out.writeLong(report.badRows());
        out.writeLong(report.nothingToLearn());
        out.writeLong(report.answersCut());
        out.writeInt(report.rows());
        out.writeLong(report.tokens());
        out.writeLong(report.learnedTokens());
        out.writeInt(report.longest());
        out.writeUTF(
                report.firstBadRow().length() > 1000 ? report.firstBadRow().substring(0, 1000) : report.firstBadRow());
        for (Dataset.Held row : dataset.held()) {
            out.writeInt(row.ids().length);
            out.writeInt(row.labels() == null ? row.learnedFrom() : LABELS);
            write(row.ids(), out);
            if (row.labels() != null) {
                write(row.labels(), out);
            }
        }
    }

    private static void write(int[] ints, DataOutputStream out) throws IOException {
        ByteBuffer bytes = ByteBuffer.allocate(4 * ints.length);
        bytes.asIntBuffer().put(ints);
        out.write(bytes.array());
    }

    private static void delete(Path temporary) {
        if (temporary != null) {
            try {
                Files.deleteIfExists(temporary);
            } catch (IOException e) {
                LOG.warn("{} could not be deleted: {}", temporary, Reason.of(e));
            }
        }
    }
}
