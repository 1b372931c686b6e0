package io.github.qlora4j.trainer.report;

/** Where progress is shown: lines that stay, and one live line below them where there is a terminal. */
public interface Screen {

    /** Writes a line, or several, that stay. */
    void line(String text);

    /** Replaces the live line; an empty text takes it away. Does nothing without a terminal. */
    void live(String text);

    /** Columns of the terminal; 0 where there is none. */
    int columns();
}
