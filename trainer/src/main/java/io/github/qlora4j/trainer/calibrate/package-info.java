/**
 * Quantization that looks at what the layers are given: GPTQ and AWQ, for a whole model.
 *
 * <p>{@link io.github.qlora4j.trainer.calibrate.CalibratedQuantizer} takes the calibration's texts through the model a block at a
 * time and writes the directory; a {@link io.github.qlora4j.trainer.calibrate.CalibrationMethod} decides what becomes of a
 * block. The arithmetic for one matrix is {@link io.github.qlora4j.quant.GptqSolver} and {@link
 * io.github.qlora4j.quant.AwqSearch}.
 */
package io.github.qlora4j.trainer.calibrate;
