package io.github.qlora4j.quant;

import java.util.EnumMap;
import java.util.Map;
import java.util.stream.IntStream;

/**
 * Finds the nearest code of a scaled weight with one look-up and one comparison.
 *
 * <p>Between −1 and 1 there are 15 bounds, midway between neighbouring codes; a weight's code is the number of bounds
 * below it (torch's {@code bucketize} in bitsandbytes' backends/default/ops.py). The range is cut into cells so narrow
 * that none holds two bounds: the cell gives the bounds below all of it, and one comparison decides the rest, exactly.
 */
final class FourBitTable {

    private static final int CELLS = 1024;

    /** Far more than the rounding of a cell's number moves a weight, far less than a cell. */
    private static final double MARGIN = 1e-6;

    private static final Map<QuantType, FourBitTable> TABLES = new EnumMap<>(QuantType.class);

    static {
        for (QuantType type : QuantType.values()) {
            TABLES.put(type, new FourBitTable(type.code()));
        }
    }

    private final float[] code;
    private final float[] bounds = new float[16];
    private final byte[] pattern = new byte[16];
    private final byte[] below = new byte[2 * CELLS + 2];

    private FourBitTable(float[] code) {
        this.code = code;
        // FP4's patterns are not in the order of their values. Of its two zeros the sort keeps the lower one first, as
        // torch's does here.
        int[] order = IntStream.range(0, 16)
                .boxed()
                .sorted((a, b) -> Double.compare(code[a] + 0.0, code[b] + 0.0))
                .mapToInt(Integer::intValue)
                .toArray();
        for (int i = 0; i < 16; i++) {
            pattern[i] = (byte) order[i];
            bounds[i] = i < 15 ? (code[order[i]] + code[order[i + 1]]) / 2 : Float.POSITIVE_INFINITY;
        }
        for (int cell = 0; cell < below.length; cell++) {
            double lowest = (double) cell / CELLS - 1 - MARGIN;
            below[cell] = (byte)
                    IntStream.range(0, 15).filter(i -> bounds[i] < lowest).count();
        }
    }

    static FourBitTable of(QuantType type) {
        return TABLES.get(type);
    }

    /** The bit pattern of a scaled weight, between −1 and 1 but for rounding. */
    int nearest(float scaled) {
        int low = below[(int) ((scaled + 1f) * CELLS)];
        return pattern[scaled > bounds[low] ? low + 1 : low];
    }

    /** Fills {@code table} with the 16 codes times absmax, as the bits of the target's elements. */
    void scaled(float absmax, int[] table, boolean half, boolean brain) {
        for (int i = 0; i < 16; i++) {
            float value = code[i] * absmax;
            table[i] =
                    half ? HalfFloat.toFp16(value) : brain ? HalfFloat.toBf16(value) : Float.floatToRawIntBits(value);
        }
    }
}
