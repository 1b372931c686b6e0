/**
 * What happens between a gradient and a new parameter: schedule, clipping, optimizer.
 *
 * <p>{@link io.github.qlora4j.trainer.optim.Schedule} says the learning rate of an update, {@link
 * io.github.qlora4j.trainer.optim.Clipping} bounds the gradients, and an {@link
 * io.github.qlora4j.trainer.optim.Optimizer} updates the parameters in place. There is one optimizer, AdamW, in the
 * arithmetic of torch or bitsandbytes, with state in 32 or 8 bits. Its state lives in pages: of plain memory, or, for
 * the paged optimizers, of a mapped file of which only a bounded part is in memory. The update goes page by page
 * either way, so that paging cannot change a result.
 *
 * <p>The formulas are TorchScript in {@code updates.py}, each beside the name of the file it reproduces bit for bit.
 */
package io.github.qlora4j.trainer.optim;
