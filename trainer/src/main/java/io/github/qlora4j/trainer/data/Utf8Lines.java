package io.github.qlora4j.trainer.data;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/** The lines of a file, decoded one by one, so that an error has a line; a byte order mark is passed over. */
final class Utf8Lines implements AutoCloseable {

    /** A line longer than this is no row. */
    static final int MAX_LINE_BYTES = 256 << 20;

    private final InputStream in;
    private int line;

    private Utf8Lines(InputStream in) {
        this.in = in;
    }

    static Utf8Lines open(Path file) throws IOException {
        return new Utf8Lines(new BufferedInputStream(Files.newInputStream(file), 1 << 16));
    }

    /** The number of the line that was read last, from 1. */
    int number() {
        return line;
    }

    /**
     * The next line's bytes without its end, or {@code null} behind the last one.
     *
     * @throws IOException if the file cannot be read, or the line is longer than {@link #MAX_LINE_BYTES}
     */
    byte[] next() throws IOException {
        int b = in.read();
        if (b < 0) {
            return null;
        }
        line++;
        ByteArrayOutputStream bytes = new ByteArrayOutputStream(1024);
        for (; b >= 0 && b != '\n'; b = in.read()) {
            if (bytes.size() == MAX_LINE_BYTES) {
                throw new IOException("line " + line + " is longer than " + MAX_LINE_BYTES + " bytes");
            }
            bytes.write(b);
        }
        return bytes.toByteArray();
    }

    static String decode(byte[] line) throws CharacterCodingException {
        String text = StandardCharsets.UTF_8
                .newDecoder()
                .decode(ByteBuffer.wrap(line))
                .toString();
        return text.startsWith("\uFEFF") ? text.substring(1) : text;
    }

    /** The first line that is not UTF-8, or 0. */
    static int firstDamaged(Path file) throws IOException {
        try (Utf8Lines lines = open(file)) {
            for (byte[] line = lines.next(); line != null; line = lines.next()) {
                try {
                    decode(line);
                } catch (CharacterCodingException e) {
                    return lines.number();
                }
            }
        }
        return 0;
    }

    @Override
    public void close() throws IOException {
        in.close();
    }
}
