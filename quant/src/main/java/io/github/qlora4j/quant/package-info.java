/**
 * Low-bit quantization of the weights of a frozen base, with the bytes that bitsandbytes gives on a CPU.
 *
 * <p>A matrix is cut into blocks of {@code blocksize} elements, row by row. Each block is divided by the largest of its
 * absolute values ({@code absmax}), and each quotient becomes the number of the nearest of 16 codes, two to a byte. A
 * weight is read back as code × absmax. Double quantization stores absmax itself in 8 bits. See QLoRA
 * (arXiv:2305.14314), section 3. LLM.int8() (arXiv:2208.07339) keeps a row in int8 with one scale, and multiplies integers
 * save for the columns of outliers.
 *
 * <ul>
 *   <li>{@link io.github.qlora4j.quant.LinearWeight} is what a frozen matrix is to a model: {@link
 *       io.github.qlora4j.quant.DenseWeight}, {@link io.github.qlora4j.quant.FourBitWeight}, {@link
 *       io.github.qlora4j.quant.Int8Weight}, {@link io.github.qlora4j.quant.GptqWeight} and {@link
 *       io.github.qlora4j.quant.AwqWeight} today; a further scheme is one more class.
 *   <li>{@link io.github.qlora4j.quant.StoredScheme} is what reads the layers of a directory that is quantized already;
 *       {@link io.github.qlora4j.quant.StoredSchemes} finds the one that it names. {@link
 *       io.github.qlora4j.quant.GptqSolver} and {@link io.github.qlora4j.quant.AwqSearch} quantize with what calibration
 *       shows.
 *   <li>{@link io.github.qlora4j.quant.Kernel} is who does the arithmetic: the bitsandbytes library or plain Java, to
 *       the same bytes. {@link io.github.qlora4j.quant.Kernels} picks one.
 *   <li>{@link io.github.qlora4j.quant.FourBitCheckpoint} and {@link io.github.qlora4j.quant.Int8Checkpoint} read and write
 *       such weights in the files of a model, and {@link io.github.qlora4j.quant.ModelQuantizer} turns one model directory
 *       into another by a {@link io.github.qlora4j.quant.MatrixQuantizer}.
 * </ul>
 */
package io.github.qlora4j.quant;
