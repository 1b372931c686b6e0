package io.github.qlora4j.quant;

/**
 * What a quantized matrix takes, known before it is read.
 *
 * @param codes in memory
 * @param scales in memory, zero points and the like with them
 * @param stored in the files, all parts together: what transformers counts as the footprint of GPTQ and AWQ
 */
public record WeightBytes(long codes, long scales, long stored) {}
