package io.github.qlora4j.quant;

import io.github.qlora4j.quant.torch.Dtype;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;

/**
 * The kernel in plain Java: needs no library, runs on every CPU, uses all cores.
 *
 * <p>Four bits: {@code quantize_4bit} of bitsandbytes 0.50.2's backends/default/ops.py, which is what it runs on a CPU.
 * Eight bits: {@code quantize_cpu_impl} of its csrc/cpu_ops.cpp, as compiled for x86-64 with FMA.
 */
final class BuiltinKernel implements Kernel {

    static final BuiltinKernel INSTANCE = new BuiltinKernel();

    /** The least absmax that is divided by; torch's {@code clamp(min=1e-38)}. */
    private static final float LEAST = 1e-38f;

    private static final ByteMap SIGNED = new ByteMap(DynamicMap.SIGNED);
    private static final ByteMap UNSIGNED = new ByteMap(DynamicMap.UNSIGNED);

    private BuiltinKernel() {}

    @Override
    public String name() {
        return "builtin";
    }

    @Override
    public void quantizeFourBit(
            QuantType type, int blocksize, Dtype dtype, ByteBuffer source, ByteBuffer packed, ByteBuffer absmax) {
        long elements =
                Blocks.check(dtype, source, blocksize, (source.remaining() / dtype.bytes() + 1L) / 2, packed, absmax);
        FourBitTable table = FourBitTable.of(type);
        ByteBuffer bytes = Blocks.little(packed);
        FloatBuffer scales = Blocks.floats(absmax);
        Blocks.forEach(elements, (first, count) -> {
            int[] bits = new int[count + 1]; // one more, 0, for an odd last element
            byte[] out = new byte[(count + 1) / 2];
            Blocks.load(dtype, source, first, count, bits);
            for (int from = 0; from < count; from += blocksize) {
                int to = Math.min(count, from + blocksize);
                float largest = Blocks.absmax(bits, from, to, first);
                if (to - from == blocksize) {
                    packScaled(table, bits, from, to, 1f / Math.max(largest, LEAST), out);
                } else {
                    // bitsandbytes divides in the last, partial block, and keeps the raised absmax.
                    largest = Math.max(largest, LEAST);
                    packDivided(table, bits, from, to, largest, out);
                }
                scales.put((int) ((first + from) / blocksize), largest);
            }
            bytes.put((int) (first / 2), out, 0, out.length);
        });
    }

    private static void packScaled(FourBitTable table, int[] bits, int from, int to, float scale, byte[] out) {
        for (int i = from; i < to; i += 2) {
            int high = table.nearest(Float.intBitsToFloat(bits[i]) * scale);
            int low = table.nearest(Float.intBitsToFloat(bits[i + 1]) * scale);
            out[i >> 1] = (byte) (high << 4 | low);
        }
    }

    private static void packDivided(FourBitTable table, int[] bits, int from, int to, float largest, byte[] out) {
        for (int i = from; i < to; i += 2) {
            int high = table.nearest(Float.intBitsToFloat(bits[i]) / largest);
            int low = table.nearest(Float.intBitsToFloat(bits[i + 1]) / largest);
            out[i >> 1] = (byte) (high << 4 | low);
        }
    }

    @Override
    public void dequantizeFourBit(
            QuantType type, int blocksize, ByteBuffer packed, ByteBuffer absmax, Dtype dtype, ByteBuffer target) {
        long elements =
                Blocks.check(dtype, target, blocksize, (target.remaining() / dtype.bytes() + 1L) / 2, packed, absmax);
        FourBitTable table = FourBitTable.of(type);
        ByteBuffer bytes = Blocks.little(packed);
        FloatBuffer scales = Blocks.floats(absmax);
        Blocks.forEach(elements, (first, count) -> {
            byte[] in = new byte[(count + 1) / 2];
            bytes.get((int) (first / 2), in, 0, in.length);
            int[] values = new int[16];
            if (dtype == Dtype.FLOAT32) {
                int[] out = new int[count + 1];
                for (int from = 0; from < count; from += blocksize) {
                    int to = Math.min(count, from + blocksize);
                    table.scaled(scales.get((int) ((first + from) / blocksize)), values, false, false);
                    for (int i = from; i < to; i += 2) {
                        int pair = in[i >> 1];
                        out[i] = values[pair >> 4 & 15];
                        out[i + 1] = values[pair & 15];
                    }
                }
                Blocks.little(target).asIntBuffer().put((int) first, out, 0, count);
            } else {
                short[] out = new short[count + 1];
                boolean half = dtype == Dtype.FLOAT16;
                for (int from = 0; from < count; from += blocksize) {
                    int to = Math.min(count, from + blocksize);
                    table.scaled(scales.get((int) ((first + from) / blocksize)), values, half, !half);
                    for (int i = from; i < to; i += 2) {
                        int pair = in[i >> 1];
                        out[i] = (short) values[pair >> 4 & 15];
                        out[i + 1] = (short) values[pair & 15];
                    }
                }
                Blocks.little(target).asShortBuffer().put((int) first, out, 0, count);
            }
        });
    }

    @Override
    public void quantizeEightBit(
            DynamicMap map, int blocksize, Dtype dtype, ByteBuffer source, ByteBuffer codes, ByteBuffer absmax) {
        long elements = Blocks.check(dtype, source, blocksize, source.remaining() / dtype.bytes(), codes, absmax);
        ByteMap nearest = map == DynamicMap.SIGNED ? SIGNED : map == DynamicMap.UNSIGNED ? UNSIGNED : new ByteMap(map);
        ByteBuffer bytes = Blocks.little(codes);
        FloatBuffer scales = Blocks.floats(absmax);
        Blocks.forEach(elements, (first, count) -> {
            int[] bits = new int[count];
            byte[] out = new byte[count];
            Blocks.load(dtype, source, first, count, bits);
            for (int from = 0; from < count; from += blocksize) {
                int to = Math.min(count, from + blocksize);
                float largest = Blocks.absmax(bits, from, to, first);
                if (largest != 0) {
                    float scale = 1f / largest;
                    for (int i = from; i < to; i++) {
                        out[i] = nearest.of(Float.intBitsToFloat(bits[i]) * scale);
                    }
                }
                scales.put((int) ((first + from) / blocksize), largest);
            }
            bytes.put((int) first, out, 0, count);
        });
    }

    @Override
    public void dequantizeEightBit(
            DynamicMap map, int blocksize, ByteBuffer codes, ByteBuffer absmax, Dtype dtype, ByteBuffer target) {
        long elements = Blocks.check(dtype, target, blocksize, target.remaining() / dtype.bytes(), codes, absmax);
        float[] values = map.shared();
        ByteBuffer bytes = Blocks.little(codes);
        FloatBuffer scales = Blocks.floats(absmax);
        Blocks.forEach(elements, (first, count) -> {
            byte[] in = new byte[count];
            bytes.get((int) first, in, 0, count);
            float[] out = new float[count];
            for (int from = 0; from < count; from += blocksize) {
                int to = Math.min(count, from + blocksize);
                float scale = scales.get((int) ((first + from) / blocksize));
                for (int i = from; i < to; i++) {
                    out[i] = values[in[i] & 0xff] * scale;
                }
            }
            store(dtype, out, target, first);
        });
    }

    private static void store(Dtype dtype, float[] values, ByteBuffer target, long first) {
        if (dtype == Dtype.FLOAT32) {
            Blocks.floats(target).put((int) first, values, 0, values.length);
            return;
        }
        short[] halves = new short[values.length];
        for (int i = 0; i < halves.length; i++) {
            halves[i] = dtype == Dtype.FLOAT16 ? HalfFloat.toFp16(values[i]) : HalfFloat.toBf16(values[i]);
        }
        Blocks.little(target).asShortBuffer().put((int) first, halves, 0, halves.length);
    }

    /**
     * The nearest number of a dynamic map by way of 65,536 cells.
     *
     * <p>Near a midpoint the cell decides, not the distance; that, and the fused multiply-add, are what bitsandbytes'
     * compiled code does, so they are kept.
     */
    private static final class ByteMap {

        private static final int CELLS = 65536;

        private final byte[] nearest = new byte[CELLS];

        ByteMap(DynamicMap map) {
            float[] values = map.shared();
            int code = 0;
            for (int cell = 0; cell < CELLS; cell++) {
                float value = -1f + (2f * cell) / (CELLS - 1);
                while (code < 255 && 0.5f * (values[code] + values[code + 1]) < value) {
                    code++;
                }
                nearest[cell] = (byte) code;
            }
        }

        byte of(float scaled) {
            float clamped = Math.max(-1f, Math.min(1f, scaled));
            return nearest[(int) Math.fma((clamped + 1f) * 0.5f, (float) (CELLS - 1), 0.5f)];
        }
    }
}
