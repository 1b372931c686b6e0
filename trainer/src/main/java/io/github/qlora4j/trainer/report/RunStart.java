package io.github.qlora4j.trainer.report;

import java.util.List;

/**
 * What is known before the first step.
 *
 * @param rows rows that are trained on
 * @param batchSize rows of one micro-batch, {@code per_device_train_batch_size}
 * @param accumulation micro-batches of one step, {@code gradient_accumulation_steps}
 * @param epochs epochs that the run goes over the data; a fraction where {@code max_steps} ends it within one
 * @param steps the last step of the run
 * @param doneSteps the step that is resumed from, 0 for a new run
 * @param trainable parameters that are trained
 * @param parameters all parameters, the trained ones included
 * @param notes lines for the user: which compute dtype and why, rows left out, the memory plan
 */
public record RunStart(
        long rows,
        int batchSize,
        int accumulation,
        double epochs,
        long steps,
        long doneSteps,
        long trainable,
        long parameters,
        List<String> notes) {

    /** Makes a start with its own copy of the notes. */
    public RunStart {
        notes = List.copyOf(notes);
    }
}
