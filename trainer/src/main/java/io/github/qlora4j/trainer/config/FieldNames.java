package io.github.qlora4j.trainer.config;

/** What the fields of a row are called in the user's files. */
public record FieldNames(
        @Key(value = "Field with the instruction (alpaca).", orElse = "instruction")
        String instruction,

        @Key(value = "Field with the input (alpaca).", orElse = "input")
        String input,

        @Key(value = "Field with the answer (alpaca).", orElse = "output")
        String output,

        @Key(value = "Field with the earlier turns, pairs of instruction and answer (alpaca).", orElse = "history")
        String history,

        @Key(value = "Field with the text (text).", orElse = "text")
        String text,

        @Key(value = "Field with the token ids (tokenized).", orElse = "input_ids")
        String inputIds,

        @Key(value = "Field with the labels (tokenized).", orElse = "labels")
        String labels) {

    /** The names that the formats have by themselves. */
    public static final FieldNames DEFAULT =
            new FieldNames("instruction", "input", "output", "history", "text", "input_ids", "labels");
}
