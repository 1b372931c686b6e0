package io.github.qlora4j.quant;

import io.github.qlora4j.quant.torch.Dtype;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/** The inputs of scripts/golden/quant.py and grouped.py, made here again from the same integer hash. */
public final class GoldenInputs {

    private GoldenInputs() {}

    public static float[] values(int n, int seed) {
        float[] values = new float[n];
        for (int i = 0; i < n; i++) {
            int h = i * 0x9E3779B1 + seed * 0x85EBCA6B;
            h ^= h >>> 15;
            h *= 0x2C1B3C6D;
            h ^= h >>> 12;
            h *= 0x297A2D39;
            h ^= h >>> 15;
            float v = (h >>> 8) * 0x1p-24f - 0.5f;
            v = v * Math.abs(v) * Math.scalb(1f, -(i / 97 % 11));
            int stretch = i / 300 % 13;
            values[i] = stretch == 5 ? 0f : stretch == 7 ? v * 0x1p-126f : v;
        }
        return values;
    }

    /** Numbers from -0.5 to 0.5, as scripts/golden/grouped.py makes them. */
    static float[] uniform(int n, int seed) {
        float[] values = new float[n];
        for (int i = 0; i < n; i++) {
            int h = i * 0x9E3779B1 + seed * 0x85EBCA6B;
            h ^= h >>> 15;
            h *= 0x2C1B3C6D;
            h ^= h >>> 12;
            h *= 0x297A2D39;
            h ^= h >>> 15;
            values[i] = (h >>> 8) * 0x1p-24f - 0.5f;
        }
        return values;
    }

    /** Multiples of 1/8 {@code [samples, tokens, width]}: grouped.py's activations. */
    static float[] activations(int samples, int tokens, int width, int seed) {
        float[] values = uniform(samples * tokens * width, seed);
        for (int i = 0; i < values.length; i++) {
            int column = i % width;
            values[i] = column == 5 ? 0 : (float) Math.rint(values[i] * 16) * (1 + column % 5) / 8;
        }
        return values;
    }

    public static ByteBuffer memory(Dtype dtype, float[] values) {
        ByteBuffer memory = direct((long) values.length * dtype.bytes());
        for (float value : values) {
            switch (dtype) {
                case FLOAT32 -> memory.putFloat(value);
                case FLOAT16 -> memory.putShort(HalfFloat.toFp16(value));
                default -> memory.putShort(HalfFloat.toBf16(value));
            }
        }
        return memory.flip();
    }

    static ByteBuffer direct(long bytes) {
        return ByteBuffer.allocateDirect(Math.toIntExact(bytes)).order(ByteOrder.LITTLE_ENDIAN);
    }

    public static String sha256(ByteBuffer bytes) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            digest.update(bytes.duplicate());
            return HexFormat.of().formatHex(digest.digest());
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }
}
