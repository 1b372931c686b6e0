/**
 * From data files to what the model learns from.
 *
 * <p>{@code rows → template → tokens and labels → batches}, one way, a row at a time: {@link
 * io.github.qlora4j.trainer.data.RowFiles} reads rows out of JSON and JSONL, a {@link
 * io.github.qlora4j.trainer.data.Template} turns a row into prompt and answer, {@link
 * io.github.qlora4j.trainer.data.RowEncoder} into ids and labels, {@link io.github.qlora4j.trainer.data.Dataset} holds
 * those that have something to learn, {@link io.github.qlora4j.trainer.data.BatchPlan} says which of them each step
 * takes, and {@link io.github.qlora4j.trainer.data.PackedRows} lays a batch's rows one behind the other, without padding.
 * Texts are not kept.
 */
package io.github.qlora4j.trainer.data;
