package io.github.qlora4j.quant;

import io.github.qlora4j.quant.torch.Dtype;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.stream.LongStream;

/** Walks a flat tensor in chunks of whole blocks, over all cores, between direct memory and plain arrays. */
final class Blocks {

    /** Elements that one task takes: its arrays fit the second-level cache; every blocksize divides it. */
    static final int CHUNK = 16384;

    /** Works on one chunk; {@code first} is its first element. */
    interface Task {
        void run(long first, int count);
    }

    private Blocks() {}

    /** Runs a task for each chunk, in parallel where there are several. */
    static void forEach(long elements, Task task) {
        long chunks = (elements + CHUNK - 1) / CHUNK;
        LongStream all = LongStream.range(0, chunks);
        (chunks > 1 ? all.parallel() : all)
                .forEach(c -> task.run(c * CHUNK, (int) Math.min(CHUNK, elements - c * CHUNK)));
    }

    /** Checks the buffers of a call and returns its number of elements; a native call would not. */
    static long check(
            Dtype dtype, ByteBuffer wide, int blocksize, long narrowBytes, ByteBuffer narrow, ByteBuffer absmax) {
        if (dtype != Dtype.FLOAT32 && dtype != Dtype.FLOAT16 && dtype != Dtype.BFLOAT16) {
            throw new QloraException("dtype " + dtype.torchName()
                    + " cannot be quantized or dequantized to; expected float32, float16 or bfloat16");
        }
        if (blocksize < 1 || CHUNK % blocksize != 0) {
            throw new IllegalArgumentException("blocks of " + blocksize + " elements do not divide " + CHUNK);
        }
        long elements = wide.remaining() / dtype.bytes();
        long blocks = FourBitConfig.blocks(elements, blocksize);
        if (wide.remaining() % dtype.bytes() != 0
                || narrow.remaining() != narrowBytes
                || absmax.remaining() != blocks * Float.BYTES
                || !wide.isDirect()
                || !narrow.isDirect()
                || !absmax.isDirect()) {
            throw new IllegalArgumentException("direct buffers of " + narrowBytes + " and " + blocks * Float.BYTES
                    + " bytes are needed for " + elements + " elements in blocks of " + blocksize + ", got " + narrow
                    + " and " + absmax);
        }
        return elements;
    }

    static FloatBuffer floats(ByteBuffer memory) {
        return little(memory).asFloatBuffer();
    }

    static ByteBuffer little(ByteBuffer memory) {
        return memory.slice().order(ByteOrder.LITTLE_ENDIAN);
    }

    /** Loads elements as the bits of float32. */
    static void load(Dtype dtype, ByteBuffer source, long first, int count, int[] bits) {
        ByteBuffer little = little(source);
        if (dtype == Dtype.FLOAT32) {
            little.asIntBuffer().get((int) first, bits, 0, count);
            return;
        }
        short[] halves = new short[count];
        little.asShortBuffer().get((int) first, halves, 0, count);
        if (dtype == Dtype.BFLOAT16) {
            for (int i = 0; i < count; i++) {
                bits[i] = halves[i] << 16;
            }
        } else {
            for (int i = 0; i < count; i++) {
                bits[i] = Float.floatToRawIntBits(HalfFloat.ofFp16(halves[i]));
            }
        }
    }

    /** The largest absolute value of a block. */
    static float absmax(int[] bits, int from, int to, long first) {
        int largest = 0;
        for (int i = from; i < to; i++) {
            largest = Math.max(largest, bits[i] & 0x7fffffff);
        }
        if (largest >= 0x7f800000) {
            int at = from;
            while ((bits[at] & 0x7fffffff) < 0x7f800000) {
                at++;
            }
            throw new QloraException("element " + (first + at) + " is " + Float.intBitsToFloat(bits[at])
                    + "; a NaN or infinite weight cannot be quantized");
        }
        return Float.intBitsToFloat(largest);
    }
}
