package io.github.qlora4j.trainer.optim;

import io.github.qlora4j.quant.QloraException;

/** A gradient's norm is NaN or infinite; nothing was updated. */
public final class NonFiniteGradientException extends QloraException {

    private static final long serialVersionUID = 1L;

    private final String parameter;

    NonFiniteGradientException(String parameter, float norm) {
        super("the gradient of " + parameter + " is not finite: its norm is " + norm
                + "\n  Lower training.learning_rate, set training.max_grad_norm, or look at the rows of this step.");
        this.parameter = parameter;
    }

    /** The first parameter whose gradient is not finite. */
    public String parameter() {
        return parameter;
    }
}
