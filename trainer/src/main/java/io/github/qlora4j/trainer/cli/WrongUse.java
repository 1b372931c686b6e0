package io.github.qlora4j.trainer.cli;

import io.github.qlora4j.quant.QloraException;

/** A command that was called with flags, or a configuration, that cannot be followed: exit code 2. */
final class WrongUse extends QloraException {
    private static final long serialVersionUID = 1L;

    WrongUse(String message) {
        super(message);
    }

    WrongUse(QloraException cause) {
        super(cause.getMessage(), cause);
    }
}
