package io.github.qlora4j.trainer.config;

/** What a row of the data looks like. */
public enum DataFormat {
    /** {@code instruction}, {@code input}, {@code output}, {@code history}. */
    ALPACA,
    /** {@code text}: completion of plain text. */
    TEXT,
    /** {@code input_ids} and optional {@code labels}: already tokenized. */
    TOKENIZED
}
