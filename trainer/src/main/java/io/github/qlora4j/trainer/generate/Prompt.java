package io.github.qlora4j.trainer.generate;

import io.github.qlora4j.trainer.data.Row;
import java.util.List;

/** What a model is to go on from. */
public sealed interface Prompt {

    /** A question, put into the model's template. */
    record Question(Row.Instruction row) implements Prompt {}

    /** A text to complete as it stands. */
    record Text(String text) implements Prompt {}

    /** Token ids to go on from as they stand. */
    record Tokens(int[] ids) implements Prompt {
        /** Takes a copy. */
        public Tokens {
            ids = ids.clone();
        }

        /** A copy of the ids. */
        @Override
        public int[] ids() {
            return ids.clone();
        }
    }

    /** An instruction without input or earlier turns. */
    static Prompt question(String instruction) {
        return question(instruction, "", List.of());
    }

    /** An instruction with its input (may be empty) and earlier turns, oldest first. */
    static Prompt question(String instruction, String input, List<Row.Turn> history) {
        return new Question(Row.Instruction.question(instruction, input, history));
    }
}
