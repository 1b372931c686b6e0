package io.github.qlora4j.quant.bitsandbytes;

import com.sun.jna.Platform;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/**
 * Looks at a shared library before the system's loader does.
 *
 * <p>The loader maps what an ELF header announces; where the file ends earlier, touching it is a SIGBUS, which ends the
 * JVM.
 */
final class NativeFile {

    private static final int ELF_MAGIC = 0x464c457f; // 0x7f E L F, little-endian
    private static final int HEADER_BYTES = 64;
    private static final int SEGMENT_BYTES = 56;
    private static final int X86_64 = 62;
    private static final int AARCH64 = 183;

    private NativeFile() {}

    /** Why a file should not be loaded, or null where nothing speaks against it. */
    static String problem(Path file) throws IOException {
        if (!Platform.isLinux()) {
            return null;
        }
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            long size = channel.size();
            ByteBuffer header = read(channel, 0, HEADER_BYTES);
            if (header.remaining() < HEADER_BYTES || header.getInt(0) != ELF_MAGIC || header.get(4) != 2) {
                return "not a 64-bit ELF library";
            }
            int machine = header.getShort(18) & 0xffff;
            boolean fits = Platform.isARM() ? machine == AARCH64 : machine == X86_64;
            if (!fits) {
                return "built for another CPU (ELF machine " + machine + ")";
            }
            long sections = header.getLong(40);
            long sectionsEnd = sections + (long) (header.getShort(58) & 0xffff) * (header.getShort(60) & 0xffff);
            if (sections < 0 || sectionsEnd > size) {
                return "cut: it has " + size + " of at least " + sectionsEnd + " bytes";
            }
            int sectionBytes = header.getShort(58) & 0xffff;
            if (sectionsEnd > sections && isEmpty(read(channel, sectionsEnd - sectionBytes, sectionBytes))) {
                // a download that was broken off, where room was taken before the bytes came
                return "cut: it has its full length, but nothing at its end";
            }
            long segments = header.getLong(32);
            int segmentBytes = header.getShort(54) & 0xffff;
            int count = header.getShort(56) & 0xffff;
            if (segments < 0 || segmentBytes < SEGMENT_BYTES || segments + (long) count * segmentBytes > size) {
                return "damaged: its program headers lie outside the file";
            }
            for (int i = 0; i < count; i++) {
                ByteBuffer segment = read(channel, segments + (long) i * segmentBytes, SEGMENT_BYTES);
                long from = segment.getLong(8);
                long length = segment.getLong(32);
                if (from < 0 || length < 0 || from > size - length) {
                    return "cut: a segment ends at byte " + (from + length) + " of " + size;
                }
            }
            return null;
        }
    }

    private static boolean isEmpty(ByteBuffer bytes) {
        while (bytes.hasRemaining()) {
            if (bytes.get() != 0) {
                return false;
            }
        }
        return true;
    }

    private static ByteBuffer read(FileChannel channel, long position, int bytes) throws IOException {
        ByteBuffer buffer = ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
        while (buffer.hasRemaining() && channel.read(buffer, position + buffer.position()) > 0) {
            // until it is full or the file ends
        }
        return buffer.flip();
    }
}
