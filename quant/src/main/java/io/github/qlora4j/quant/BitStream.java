package io.github.qlora4j.quant;

/**
 * Small unsigned integers side by side in 32-bit words, the first in the lowest bits, running on over the ends of words.
 *
 * <p>That is how GPTQ packs 2, 3, 4 and 8 bits; three bits come to 32 numbers in three words.
 */
final class BitStream {

    private BitStream() {}

    /** Words that so many numbers take. */
    static int words(long count, int bits) {
        return Math.toIntExact((count * bits + 31) / 32);
    }

    static void unpack(int[] words, int bits, byte[] values, int count) {
        if (32 % bits == 0) {
            int each = 32 / bits;
            int mask = (1 << bits) - 1;
            int whole = count / each;
            int at = 0;
            for (int w = 0; w < whole; w++) {
                int word = words[w];
                for (int i = 0; i < each; i++) {
                    values[at++] = (byte) (word & mask);
                    word >>>= bits;
                }
            }
            for (int shift = 0; at < count; shift += bits) {
                values[at++] = (byte) (words[whole] >>> shift & mask);
            }
            return;
        }
        for (int i = 0; i < count; i++) {
            values[i] = (byte) at(words, bits, i);
        }
    }

    private static int at(int[] words, int bits, int index) {
        int bit = index * bits;
        int shift = bit & 31;
        int low = words[bit >> 5] >>> shift;
        int high = shift + bits > 32 ? words[(bit >> 5) + 1] << 32 - shift : 0;
        return (low | high) & (1 << bits) - 1;
    }

    static void pack(byte[] values, int count, int bits, int[] words) {
        java.util.Arrays.fill(words, 0);
        for (int i = 0; i < count; i++) {
            int value = values[i] & 0xff;
            int bit = i * bits;
            int shift = bit & 31;
            words[bit >> 5] |= value << shift;
            if (shift + bits > 32) {
                words[(bit >> 5) + 1] |= value >>> 32 - shift;
            }
        }
    }
}
