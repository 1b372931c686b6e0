package io.github.qlora4j.quant;

import ai.djl.ndarray.NDArray;
import io.github.qlora4j.quant.torch.Dtype;

/**
 * A matrix in 2, 3, 4 or 8 bits as GPTQ leaves it (arXiv:2210.17323): an element is scale × (code − zero), with a scale
 * and a zero point for each output and group of inputs. Dequantized before each use.
 *
 * <p>Under act-order the inputs of a group lie anywhere in a row. The weight owns its memory; whoever holds it closes it.
 */
public final class GptqWeight implements LinearWeight {

    private final GroupedCodes codes;

    /** Takes over the codes. */
    GptqWeight(GroupedCodes codes) {
        this.codes = codes;
    }

    GroupedCodes codes() {
        return codes;
    }

    /** Bits of a code: 2, 3, 4 or 8. */
    public int bits() {
        return codes.bits();
    }

    /** Groups of inputs, each with scales and zero points of its own. */
    public int groups() {
        return codes.groups();
    }

    @Override
    public long rows() {
        return codes.rows();
    }

    @Override
    public long cols() {
        return codes.cols();
    }

    @Override
    public long bytes() {
        return codes.bytes();
    }

    @Override
    public String scheme() {
        return "gptq";
    }

    /** {@inheritDoc} Values are scale × (code − zero) in float32, rounded once. */
    @Override
    public NDArray dense(Dtype compute, Scratch scratch) {
        return codes.dense(compute, scratch);
    }

    @Override
    public void close() {
        codes.close();
    }
}
