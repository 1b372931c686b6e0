package io.github.qlora4j.trainer.bench;

/**
 * A model in a scheme, before anything is computed with it.
 *
 * @param scheme what the linear layers are in; of a stored model what is stored
 * @param dtype of the products of the linear layers
 * @param bytes all weights take, as {@code get_memory_footprint} counts them
 * @param bitsPerWeight of the linear layers, scales and all
 * @param weightsPerSecond quantized; null where nothing was
 * @param loadSeconds reading and, where it is quantized on loading, quantizing
 * @param restBytes resident memory of the process with the model loaded; null where the system does not tell
 * @param threads of the products
 */
public record Loaded(
        String scheme,
        String dtype,
        long bytes,
        double bitsPerWeight,
        Double weightsPerSecond,
        double loadSeconds,
        Long restBytes,
        int threads) {}
