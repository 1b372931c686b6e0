/**
 * What a model costs in each quantization scheme: speed of quantizing, of the forward pass and of generation, size, and
 * memory.
 *
 * <p>{@link io.github.qlora4j.trainer.bench.Bench} starts a JVM for each scheme, so that none sees what another one left
 * behind; {@link io.github.qlora4j.trainer.bench.BenchWorker} is what runs there.
 */
package io.github.qlora4j.trainer.bench;
