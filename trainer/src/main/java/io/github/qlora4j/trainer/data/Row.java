package io.github.qlora4j.trainer.data;

import java.util.List;

/** A row of a data file, checked. */
public sealed interface Row {

    /**
     * An instruction with its answer ({@code format: alpaca}).
     *
     * @param instruction what is asked
     * @param input what it is asked about; empty where there is nothing
     * @param output the answer
     * @param history earlier turns, oldest first
     */
    record Instruction(String instruction, String input, String output, List<Turn> history) implements Row {

        /** Takes a copy of the history. */
        public Instruction {
            history = List.copyOf(history);
        }

        /** A question without an answer, for generation. */
        public static Instruction question(String instruction, String input, List<Turn> history) {
            return new Instruction(instruction, input, "", history);
        }
    }

    /** An earlier question and its answer. */
    record Turn(String question, String answer) {}

    /** Plain text to complete ({@code format: text}). */
    record Text(String text) implements Row {}

    /** Ready tokens ({@code format: tokenized}). */
    record Tokens(Example example) implements Row {}
}
