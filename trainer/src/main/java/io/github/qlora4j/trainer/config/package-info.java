/**
 * The run's configuration: YAML in, checked records out.
 *
 * <p>A {@link io.github.qlora4j.trainer.config.RunConfig} is five records, one a section of the file. What a key is
 * called, what it means, its default and its range stand once, on the record component, as a {@link
 * io.github.qlora4j.trainer.config.Key} and a {@link io.github.qlora4j.trainer.config.Range}. Everything else is derived
 * from that by reflection: the binder that reads a file, the resolved YAML that a run leaves behind, the JSON Schema for
 * editors and the table of keys in the documentation.
 *
 * <p>Data flows one way: text → YAML nodes (which know their line and column) → records → {@code RunConfig}. Every
 * problem of a file is collected with its place, and all of them are reported at once as one {@link
 * io.github.qlora4j.trainer.config.ConfigException}. A program that builds its configuration in Java goes through the
 * same binder, so the same checks hold.
 *
 * <p>A Java name is the YAML name in camel case: {@code lora_alpha} is {@code loraAlpha()}, {@code load_in_4bit} is
 * {@code loadIn4bit()}.
 */
package io.github.qlora4j.trainer.config;
