package io.github.qlora4j.quant;

/**
 * A matrix in 2, 3, 4 or 8 bits as GPTQ leaves it (arXiv:2210.17323): an element is scale × (code − zero), with a scale
 * and a zero point for each output and group of inputs. Dequantized before each use.
 *
 * <p>Under act-order the inputs of a group lie anywhere in a row. The weight owns its memory; whoever holds it closes it.
 */
public final class GptqWeight extends GroupedWeight {

    /** Takes over the codes. */
    GptqWeight(GroupedCodes codes) {
        super(codes);
    }

    /** Bits of a code: 2, 3, 4 or 8. */
    public int bits() {
        return codes().bits();
    }

    @Override
    public String scheme() {
        return "gptq";
    }
}
