package io.github.qlora4j.trainer.data;

/** A row that cannot be used; the message lacks the place, which its reader adds. */
final class BadRowException extends RuntimeException {

    private static final long serialVersionUID = 1;

    BadRowException(String message) {
        super(message);
    }
}
