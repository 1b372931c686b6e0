package io.github.qlora4j.quant;

import java.util.EnumMap;
import java.util.Map;
import java.util.stream.IntStream;

/**
 * Finds the nearest code of a scaled weight with one look-up and one comparison.
 *
 * <p>Between −1 and 1 there are 15 bounds, midway between neighbouring codes; a weight's code is the number of bounds
 * below it (torch's {@code bucketize} in bitsandbytes' backends/default/ops.py). The range is cut into cells so narrow
 * that none holds two bounds: the cell gives the one bound in question and the codes on both sides of it, and one comparison
 * decides, exactly.
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
    /** The bound that a cell may hold, or the next one above it; infinite above the last. */
    private final float[] bound = new float[2 * CELLS + 2];
    /** The bit patterns up to that bound, in the lower half, and beyond it. */
    private final byte[] either = new byte[2 * CELLS + 2];

    private FourBitTable(float[] code) {
        this.code = code;
        // FP4's patterns are not in the order of their values. Of its two zeros the sort keeps the lower one first, as
        // torch's does here.
        int[] order = IntStream.range(0, 16)
                .boxed()
                .sorted((a, b) -> Double.compare(code[a] + 0.0, code[b] + 0.0))
                .mapToInt(Integer::intValue)
                .toArray();
        float[] bounds = new float[16];
        for (int i = 0; i < 16; i++) {
            bounds[i] = i < 15 ? (code[order[i]] + code[order[i + 1]]) / 2 : Float.POSITIVE_INFINITY;
        }
        for (int cell = 0; cell < bound.length; cell++) {
            double lowest = (double) cell / CELLS - 1 - MARGIN;
            int below =
                    (int) IntStream.range(0, 15).filter(i -> bounds[i] < lowest).count();
            bound[cell] = bounds[below];
            either[cell] = (byte) (order[Math.min(15, below + 1)] << 4 | order[below]);
        }
    }

    static FourBitTable of(QuantType type) {
        return TABLES.get(type);
    }

    /** The bit pattern of a scaled weight, between −1 and 1 but for rounding. */
    int nearest(float scaled) {
        int cell = (int) ((scaled + 1f) * CELLS);
        int patterns = either[cell];
        return (scaled > bound[cell] ? patterns >> 4 : patterns) & 15;
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
