/**
 * What schemes of quantization cost a model in accuracy and bytes.
 *
 * <p>{@link io.github.qlora4j.trainer.compare.SchemeComparison} quantizes each linear layer by each scheme and looks at
 * what comes back, {@link io.github.qlora4j.trainer.compare.Compared} is one row of it, {@link
 * io.github.qlora4j.trainer.compare.ComparisonFiles} writes table, JSON and pictures.
 */
package io.github.qlora4j.trainer.compare;
