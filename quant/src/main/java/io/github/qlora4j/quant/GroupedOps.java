package io.github.qlora4j.quant;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.torch.TorchScript;

/** The tensor operators of {@link GroupedCodes}' files: grouped.py. */
final class GroupedOps {

    private static final TorchScript SCRIPT = TorchScript.load(GroupedOps.class, "grouped.py");

    private GroupedOps() {}

    static NDArray transposed(NDManager manager, NDArray matrix) {
        return SCRIPT.tensor(manager, "transposed", matrix);
    }

    /** Adds to each byte, modulo 2 to the bits. */
    static NDArray plus(NDManager manager, NDArray bytes, int summand, int bits) {
        return SCRIPT.tensor(manager, "plus", bytes, summand, (1 << bits) - 1);
    }

    /** Adds to each number that is packed in int32 words, carrying from one to the next. */
    static NDArray plusEach(NDManager manager, NDArray words, int summand, int bits) {
        int ones = (int) (0xffffffffL / ((1 << bits) - 1));
        return SCRIPT.tensor(manager, "plus_words", words, summand * ones);
    }

    /** Eight 4-bit numbers a word, in an order of their columns, as bytes {@code [rows, 8 · words]}. */
    static NDArray unpackInterleaved(NDManager manager, NDArray words, long[] order) {
        return SCRIPT.tensor(manager, "unpack_interleaved", words, order);
    }

    /** The inverse of {@link #unpackInterleaved}. */
    static NDArray packInterleaved(NDManager manager, NDArray bytes, long[] order) {
        return SCRIPT.tensor(manager, "pack_interleaved", bytes, order);
    }
}
