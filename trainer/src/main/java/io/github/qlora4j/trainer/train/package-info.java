/**
 * The training step, the loop around it, and checkpoints.
 *
 * <p>{@link io.github.qlora4j.trainer.train.TrainingStep} is one optimizer step, to be read from top to bottom. {@link
 * io.github.qlora4j.trainer.train.Trainer} is the run around it: it makes the model, the data and the optimizer from a
 * configuration, goes through the steps, evaluates, saves and resumes. A {@link
 * io.github.qlora4j.trainer.train.Checkpoint} holds everything the next step depends on.
 */
package io.github.qlora4j.trainer.train;
