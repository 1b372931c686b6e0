package io.github.qlora4j.trainer.data;

import java.util.List;

/**
 * A batch without padding: its rows one behind the other, as variable-length attention takes them.
 *
 * @param inputIds the ids of all rows, [tokens]
 * @param positions each token's place in its own row, from 0, [tokens]
 * @param rowStarts where each row begins, and behind the last one the number of tokens, [rows + 1] ({@code cu_seqlens})
 * @param learnedPositions the places in {@code inputIds} whose <em>next</em> token is learned, ascending, [learned]
 * @param learnedTargets the token to learn at each of those places, [learned]
 */
public record PackedRows(
        int[] inputIds, int[] positions, int[] rowStarts, int[] learnedPositions, int[] learnedTargets) {

    /** Lays rows one behind the other. */
    public static PackedRows of(List<Example> rows) {
        int tokens = 0;
        int learned = 0;
        for (Example row : rows) {
            tokens = Math.addExact(tokens, row.length());
            learned += row.learned();
        }
        PackedRows packed = new PackedRows(
                new int[tokens], new int[tokens], new int[rows.size() + 1], new int[learned], new int[learned]);
        int at = 0;
        int next = 0;
        for (int r = 0; r < rows.size(); r++) {
            Example row = rows.get(r);
            packed.rowStarts[r] = at;
            for (int i = 0; i < row.length(); i++) {
                packed.inputIds[at + i] = row.inputIds()[i];
                packed.positions[at + i] = i;
                if (i > 0 && row.labels()[i] != Example.MASKED) {
                    packed.learnedPositions[next] = at + i - 1;
                    packed.learnedTargets[next++] = row.labels()[i];
                }
            }
            at += row.length();
        }
        packed.rowStarts[rows.size()] = at;
        return packed;
    }

    /** The number of rows. */
    public int rows() {
        return rowStarts.length - 1;
    }

    /** The number of tokens. */
    public int tokens() {
        return inputIds.length;
    }

    /** The number of learned tokens. */
    public int learned() {
        return learnedPositions.length;
    }

    /** The length of the longest row. */
    public int longestRow() {
        int longest = 0;
        for (int r = 0; r < rows(); r++) {
            longest = Math.max(longest, rowStarts[r + 1] - rowStarts[r]);
        }
        return longest;
    }
}
