/**
 * From text to token ids and back, with a model directory's own {@code tokenizer.json}.
 *
 * <p>The Rust library behind DJL does the work. This package decides what is around it: special tokens are read from the
 * directory's JSON files, nothing is cut or padded, BOS and EOS are added by the caller, and a stream of ids becomes a
 * stream of whole characters.
 */
package io.github.qlora4j.trainer.tokenizer;
