package io.github.qlora4j.trainer.config;

/** What happens when a row of the data cannot be read. */
public enum OnBadRow {
    /** The run stops, naming file, line and field. */
    ERROR,
    /** The row is left out, counted and shown. */
    SKIP
}
