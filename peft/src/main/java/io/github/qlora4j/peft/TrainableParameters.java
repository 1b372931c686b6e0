package io.github.qlora4j.peft;

import java.util.Locale;

/**
 * How many of a model's parameters are trained.
 *
 * @param trainable numbers that are trained
 * @param all numbers of the model, adapters included
 */
public record TrainableParameters(long trainable, long all) {

    /** Returns the line that peft's {@code print_trainable_parameters} prints. */
    @Override
    public String toString() {
        return String.format(
                Locale.ROOT,
                "trainable params: %,d || all params: %,d || trainable%%: %.4f",
                trainable,
                all,
                100.0 * trainable / all);
    }
}
