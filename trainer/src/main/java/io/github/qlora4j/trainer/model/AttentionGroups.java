package io.github.qlora4j.trainer.model;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Rows that are attended together because they are about as long, each padded at its end to the longest of its group.
 *
 * <p>Many short products cost more than few padded ones, and each length anew has the engine compile its products. So a
 * group takes rows down to three quarters of its longest, and any that are short; its places are rounded up.
 *
 * @param layout the groups as [rows, places a row, rows, places a row, …]
 * @param padded the token at each place, group after group; behind a row's end its first token stands
 * @param places where each token stands in {@code padded}; both are empty where that is its own number
 */
record AttentionGroups(long[] layout, int[] padded, int[] places) {

    /** Rows as short as this share a group with any shorter one. */
    private static final int SHORT = 128;

    /** The places of a row are a multiple of this, where it is padded at all. */
    private static final int STEP = 16;

    /** Places that a group may have: it bounds what attention holds at once. */
    private static final int MOST_PLACES = 8192;

    /**
     * Groups rows.
     *
     * @param rowStarts where each row begins, and behind the last one the number of tokens
     */
    static AttentionGroups of(int[] rowStarts) {
        int rows = rowStarts.length - 1;
        int first = rowStarts[1];
        if (IntStream.range(0, rows).allMatch(r -> length(rowStarts, r) == first)) {
            return ofOneLength(rows, first);
        }
        List<int[]> groups = groups(rowStarts);
        long[] layout = new long[2 * groups.size()];
        int total = 0;
        for (int g = 0; g < groups.size(); g++) {
            layout[2 * g] = groups.get(g).length;
            layout[2 * g + 1] = roundedUp(length(rowStarts, groups.get(g)[0]));
            total = Math.addExact(total, Math.toIntExact(layout[2 * g] * layout[2 * g + 1]));
        }
        int[] padded = new int[total];
        int[] places = new int[rowStarts[rows]];
        int at = 0;
        for (int g = 0; g < groups.size(); g++) {
            for (int row : groups.get(g)) {
                int end = at + (int) layout[2 * g + 1];
                Arrays.fill(padded, at, end, rowStarts[row]);
                for (int i = 0; i < length(rowStarts, row); i++) {
                    padded[at + i] = rowStarts[row] + i;
                    places[rowStarts[row] + i] = at + i;
                }
                at = end;
            }
        }
        return new AttentionGroups(layout, padded, places);
    }

    /** The tokens lie as attention takes them. */
    private static AttentionGroups ofOneLength(int rows, int length) {
        int most = Math.max(1, MOST_PLACES / length);
        long[] layout = new long[2 * ((rows + most - 1) / most)];
        for (int g = 0; g < layout.length / 2; g++) {
            layout[2 * g] = Math.min(most, rows - g * most);
            layout[2 * g + 1] = length;
        }
        return new AttentionGroups(layout, new int[0], new int[0]);
    }

    /** Row numbers, the longest of each group first. */
    private static List<int[]> groups(int[] rowStarts) {
        int[] longestFirst = IntStream.range(0, rowStarts.length - 1)
                .boxed()
                .sorted(Comparator.comparingInt(r -> -length(rowStarts, r)))
                .mapToInt(Integer::intValue)
                .toArray();
        List<int[]> groups = new ArrayList<>();
        int from = 0;
        for (int i = 1; i <= longestFirst.length; i++) {
            int longest = length(rowStarts, longestFirst[from]);
            boolean joins = i < longestFirst.length
                    && (longest <= SHORT || length(rowStarts, longestFirst[i]) * 4L >= longest * 3L)
                    && (i - from + 1L) * roundedUp(longest) <= MOST_PLACES;
            if (!joins) {
                groups.add(Arrays.copyOfRange(longestFirst, from, i));
                from = i;
            }
        }
        return groups;
    }

    private static int length(int[] rowStarts, int row) {
        return rowStarts[row + 1] - rowStarts[row];
    }

    private static int roundedUp(int length) {
        return (length + STEP - 1) / STEP * STEP;
    }
}
