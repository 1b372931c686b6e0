package io.github.qlora4j.trainer.data;

/**
 * SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014), written out so that an order
 * of rows stays the same on every JDK.
 */
final class SplitMix64 {

    private static final long GAMMA = 0x9E3779B97F4A7C15L;

    private long state;

    /** A stream of its own for each (seed, stream). */
    SplitMix64(long seed, long stream) {
        state = mix(mix(seed + GAMMA) ^ mix(stream * GAMMA + 1));
    }

    long next() {
        state += GAMMA;
        return mix(state);
    }

    /** A number from 0 to bound − 1, all equally likely. */
    int below(int bound) {
        while (true) {
            long bits = next() >>> 1;
            long value = bits % bound;
            if (bits - value + (bound - 1) >= 0) {
                return (int) value;
            }
        }
    }

    /** The numbers 0 to n − 1 in a random order (Fisher and Yates). */
    int[] permutation(int n) {
        int[] order = new int[n];
        for (int i = 0; i < n; i++) {
            int j = below(i + 1);
            order[i] = order[j];
            order[j] = i;
        }
        return order;
    }

    private static long mix(long z) {
        z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
        z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
        return z ^ (z >>> 31);
    }
}
