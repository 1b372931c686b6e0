/**
 * The one door to DJL's PyTorch engine.
 *
 * <p>DJL's Java API has no bfloat16 (it ends the JVM) and lacks many operators. Two classes make up for it:
 * {@link io.github.qlora4j.quant.torch.Torch} makes, casts, copies and addresses tensors of every {@link
 * io.github.qlora4j.quant.torch.Dtype}, and {@link io.github.qlora4j.quant.torch.TorchScript} runs operators that are
 * written as readable TorchScript text in a resource file.
 *
 * <p>Tensors are DJL {@link ai.djl.ndarray.NDArray}s: each belongs to the {@link ai.djl.ndarray.NDManager} it was made
 * with, and is freed with it. A bfloat16 tensor reports {@code DataType.UNKNOWN}; ask {@link
 * io.github.qlora4j.quant.torch.Torch#dtype} instead.
 */
package io.github.qlora4j.quant.torch;
