package io.github.qlora4j.quant.bitsandbytes;

import com.sun.jna.Native;
import com.sun.jna.Pointer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.zip.CRC32C;

/**
 * Asks a bound library what is known already.
 *
 * <p>A library of another release may have the same functions and compute something else, which no file's name tells.
 */
final class KnownAnswers {

    /** What release 0.50.2 gives, and the built-in kernel as well. */
    static final long EXPECTED = 144526938L;

    private static final int BLOCKS = 4;
    static final int BLOCKSIZE = 64;
    private static final int ELEMENTS = BLOCKS * BLOCKSIZE;

    private KnownAnswers() {}

    /** Half of all pairs of codes; each code stands on both sides of a byte. */
    static ByteBuffer packed() {
        ByteBuffer packed = direct(ELEMENTS / 2);
        for (int i = 0; i < ELEMENTS / 2; i++) {
            packed.put(i, (byte) (i * 37));
        }
        return packed;
    }

    /** Scales that are no powers of two, so that products are rounded. */
    static ByteBuffer scales() {
        ByteBuffer scales = direct(BLOCKS * Float.BYTES);
        for (int i = 0; i < BLOCKS; i++) {
            scales.putFloat(i * Float.BYTES, 0.1f + 3.7f * i);
        }
        return scales;
    }

    /** The checksum of the bound library's answers: NF4 and FP4, each in float32, bfloat16 and float16. */
    static long ask() {
        CRC32C sum = new CRC32C();
        ByteBuffer packed = packed();
        ByteBuffer scales = scales();
        ByteBuffer out = direct(ELEMENTS * Float.BYTES);
        long from = address(packed);
        long by = address(scales);
        long to = address(out);
        CpuLibrary.cdequantize_blockwise_cpu_nf4_fp32(from, by, to, BLOCKSIZE, 1, ELEMENTS);
        sum.update(out.duplicate());
        CpuLibrary.cdequantize_blockwise_cpu_nf4_bf16(from, by, to, BLOCKSIZE, 1, ELEMENTS);
        sum.update(out.duplicate().limit(ELEMENTS * 2));
        CpuLibrary.cdequantize_blockwise_cpu_nf4_fp16(from, by, to, BLOCKSIZE, 1, ELEMENTS);
        sum.update(out.duplicate().limit(ELEMENTS * 2));
        CpuLibrary.cdequantize_blockwise_cpu_fp4_fp32(from, by, to, BLOCKSIZE, 1, ELEMENTS);
        sum.update(out.duplicate());
        CpuLibrary.cdequantize_blockwise_cpu_fp4_bf16(from, by, to, BLOCKSIZE, 1, ELEMENTS);
        sum.update(out.duplicate().limit(ELEMENTS * 2));
        CpuLibrary.cdequantize_blockwise_cpu_fp4_fp16(from, by, to, BLOCKSIZE, 1, ELEMENTS);
        sum.update(out.duplicate().limit(ELEMENTS * 2));
        return sum.getValue();
    }

    private static long address(ByteBuffer memory) {
        return Pointer.nativeValue(Native.getDirectBufferPointer(memory));
    }

    private static ByteBuffer direct(int bytes) {
        return ByteBuffer.allocateDirect(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }
}
