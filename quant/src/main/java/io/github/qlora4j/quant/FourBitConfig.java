package io.github.qlora4j.quant;

import java.util.List;

/**
 * How a matrix is quantized to four bits.
 *
 * @param type the code
 * @param blocksize elements that share one absmax: one of {@link #BLOCKSIZES}
 * @param doubleQuant whether absmax itself is quantized to eight bits, in blocks of 256 around its mean
 */
public record FourBitConfig(QuantType type, int blocksize, boolean doubleQuant) {

    /** The blocksizes that bitsandbytes 0.50.2 takes for four bits. */
    public static final List<Integer> BLOCKSIZES = List.of(32, 64, 128, 256, 512, 1024, 2048, 4096);

    /** QLoRA's own setting: NF4, blocks of 64, double quantization. */
    public static final FourBitConfig DEFAULT = new FourBitConfig(QuantType.NF4, 64, true);

    /** Elements of absmax that share one scale under double quantization. */
    static final int NESTED_BLOCKSIZE = 256;

    /** Checks the blocksize; throws {@link QloraException} where bitsandbytes would not take it. */
    public FourBitConfig {
        if (!BLOCKSIZES.contains(blocksize)) {
            throw new QloraException("blocksize " + blocksize + " is not one of " + BLOCKSIZES);
        }
    }

    /** Bytes that a matrix of so many elements takes, absmax included. */
    public long bytes(long elements) {
        long blocks = blocks(elements, blocksize);
        long states = doubleQuant ? blocks + 4 * blocks(blocks, NESTED_BLOCKSIZE) + 4 : 4 * blocks;
        return (elements + 1) / 2 + states;
    }

    static long blocks(long elements, long blocksize) {
        return (elements + blocksize - 1) / blocksize;
    }
}
