package io.github.qlora4j.trainer.data;

import java.util.List;

/**
 * The rows of one forward and backward pass; each attends to itself alone.
 *
 * @param rows at least one
 */
public record Batch(List<Example> rows) {

    /** Takes a copy of the list. */
    public Batch {
        rows = List.copyOf(rows);
        if (rows.isEmpty()) {
            throw new IllegalArgumentException("a batch must have a row");
        }
    }

    /** The number of tokens; none is padding. */
    public int tokens() {
        return rows.stream().mapToInt(Example::length).sum();
    }

    /** The number of tokens that are learned: what the loss of an accumulated step is divided by, summed over its batches. */
    public int learned() {
        return rows.stream().mapToInt(Example::learned).sum();
    }

    /** The rows laid one behind the other, as the model takes them. */
    public PackedRows packed() {
        return PackedRows.of(rows);
    }
}
