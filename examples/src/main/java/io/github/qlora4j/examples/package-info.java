/**
 * Small programs that use qlora4j as a library, from the lowest module up.
 *
 * <p>{@link io.github.qlora4j.examples.QuantizeATensor} needs {@code quant} alone, {@link
 * io.github.qlora4j.examples.TrainALinearAdapter} {@code quant} and {@code peft}, {@link
 * io.github.qlora4j.examples.EmbeddedTraining} all of it. Each has a {@code main} that prints its result, and a method
 * that returns it. {@link io.github.qlora4j.examples.NotebookRunner} runs the notebooks of {@code examples/notebooks}.
 */
package io.github.qlora4j.examples;
