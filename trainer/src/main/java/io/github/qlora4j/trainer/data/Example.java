package io.github.qlora4j.trainer.data;

/**
 * A tokenized row.
 *
 * <p>Labels stand at the place of their token, as in transformers: the loss compares the model's output at place {@code i -
 * 1} with {@code labels[i]}, so {@code labels[0]} is never learned.
 *
 * @param inputIds token ids
 * @param labels as long as {@code inputIds}; the token to learn, or {@link #MASKED}
 */
public record Example(int[] inputIds, int[] labels) {

    /** The label of a token that is not learned. */
    public static final int MASKED = -100;

    /** Checks that there is a label for each token. */
    public Example {
        if (inputIds.length != labels.length) {
            throw new IllegalArgumentException(
                    "labels must be as many as ids: " + labels.length + " labels, " + inputIds.length + " ids");
        }
    }

    /** The number of tokens. */
    public int length() {
        return inputIds.length;
    }

    /** The number of tokens that are learned. */
    public int learned() {
        int learned = 0;
        for (int i = 1; i < labels.length; i++) {
            if (labels[i] != MASKED) {
                learned++;
            }
        }
        return learned;
    }
}
