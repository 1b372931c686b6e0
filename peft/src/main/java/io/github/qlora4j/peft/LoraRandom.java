package io.github.qlora4j.peft;

import java.nio.FloatBuffer;
import java.nio.charset.StandardCharsets;

/**
 * The random numbers that new adapters are filled with: element i of a tensor depends on seed, tensor name and i alone.
 *
 * <p>The key of a tensor is mix(seed + FNV-1a-64(name in UTF-8)); its i-th 64 bits are mix(key + (i + 1) · γ), with
 * SplitMix64's mix and γ = 0x9E3779B97F4A7C15 (Steele, Lea and Flood, 2014). A uniform in [0, 1) is the upper 24 bits
 * times 2⁻²⁴. A normal is Box and Muller's, from the bits 2i and 2i + 1. So neither threads nor the order of modules
 * change a value.
 */
final class LoraRandom {

    private static final long GAMMA = 0x9E3779B97F4A7C15L;

    private final long key;

    LoraRandom(long seed, String tensor) {
        long hash = 0xcbf29ce484222325L;
        for (byte b : tensor.getBytes(StandardCharsets.UTF_8)) {
            hash = (hash ^ (b & 0xff)) * 0x100000001b3L;
        }
        key = mix(seed + hash);
    }

    /** Fills the buffer with uniforms in [-bound, bound); {@code first} is the index of its first element. */
    void uniform(FloatBuffer target, long first, double bound) {
        for (int i = 0; i < target.capacity(); i++) {
            double unit = (bits(first + i) >>> 40) * 0x1p-24;
            target.put(i, (float) ((2 * unit - 1) * bound));
        }
    }

    /** Fills the buffer with normals of mean 0. */
    void normal(FloatBuffer target, long first, double deviation) {
        for (int i = 0; i < target.capacity(); i++) {
            long at = 2 * (first + i);
            double u = ((bits(at) >>> 11) + 1) * 0x1p-53; // in (0, 1]: its logarithm is finite
            double v = (bits(at + 1) >>> 11) * 0x1p-53;
            double normal = StrictMath.sqrt(-2 * StrictMath.log(u)) * StrictMath.cos(2 * Math.PI * v);
            target.put(i, (float) (normal * deviation));
        }
    }

    private long bits(long index) {
        return mix(key + (index + 1) * GAMMA);
    }

    private static long mix(long z) {
        z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
        z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
        return z ^ (z >>> 31);
    }
}
