package io.github.qlora4j.quant;

/**
 * An error that the user can mend: its message says what is wrong, where, what was expected, and what to do.
 *
 * <p>The command line prints the message alone; a stack trace adds nothing to it.
 */
public class QloraException extends RuntimeException {

    /** Makes an error whose message is the whole story. */
    public QloraException(String message) {
        super(message);
    }

    /** Makes an error whose message is the whole story, keeping what led to it for {@code --verbose}. */
    public QloraException(String message, Throwable cause) {
        super(message, cause);
    }
}
