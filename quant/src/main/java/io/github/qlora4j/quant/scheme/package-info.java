/**
 * The schemes by which weights are rounded to few bits, as plain arithmetic on arrays: what each does to a tensor, and
 * what that costs.
 *
 * <pre>{@code
 * Quantized q = new Absmax(8, Granularity.TENSOR).quantize(new float[] {1.2f, -0.5f, -4.3f, 5.4f});
 * q.codes();       // 28, -12, -101, 127
 * q.dequantize();  // 1.19, -0.51, -4.29, 5.4
 * }</pre>
 *
 * <ul>
 *   <li>{@link io.github.qlora4j.quant.scheme.Scheme} is one of four: {@link io.github.qlora4j.quant.scheme.Absmax} and
 *       {@link io.github.qlora4j.quant.scheme.ZeroPoint} round to equidistant integers, {@link
 *       io.github.qlora4j.quant.scheme.Coded} to the nearest number of any {@link
 *       io.github.qlora4j.quant.scheme.Code}, {@link io.github.qlora4j.quant.scheme.OwnQuantiles} to a code made of the
 *       tensor itself. {@link io.github.qlora4j.quant.scheme.Granularity} says which weights share a scale.
 *   <li>{@link io.github.qlora4j.quant.scheme.Fidelity} is what a tensor lost.
 *   <li>{@link io.github.qlora4j.quant.scheme.FakeQuantizer} sends the weights of a model there and back and writes an
 *       ordinary model directory.
 *   <li>{@link io.github.qlora4j.quant.scheme.SchemeNames} turns {@code nf4:block128} into a scheme.
 * </ul>
 *
 * <p>This is for looking at schemes and comparing them. What a model is trained and run on is a {@link
 * io.github.qlora4j.quant.LinearWeight}, packed and fast.
 */
package io.github.qlora4j.quant.scheme;
