package io.github.qlora4j.quant;

import io.github.qlora4j.quant.internal.Printable;

/**
 * An error that the user can mend: its message says what is wrong, where, what was expected, and what to do.
 *
 * <p>The command line prints the message alone; a stack trace adds nothing to it. What a message quotes from a file
 * cannot steer a terminal or fill it: a control character stands in it as {@code \\u001b}.
 */
public class QloraException extends RuntimeException {

    /** Makes an error whose message is the whole story. */
    public QloraException(String message) {
        super(Printable.message(message));
    }

    /** Makes an error whose message is the whole story, keeping what led to it for {@code --verbose}. */
    public QloraException(String message, Throwable cause) {
        super(Printable.message(message), cause);
    }
}
