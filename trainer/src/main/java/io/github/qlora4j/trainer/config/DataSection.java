package io.github.qlora4j.trainer.config;

import java.nio.file.Path;
import java.util.List;

/** The rows and how they become tokens. {@code cacheDir} aside, nothing is null. */
public record DataSection(
        @Key(value = "Training rows: a JSON or JSONL file, a list of them, or a glob.", required = true)
        List<String> train,

        @Key("Evaluation rows: a file, a list of them, or a glob.")
        List<String> eval,

        @Key(value = "Share of the training rows set aside for evaluation, drawn by seed.", orElse = "0.0")
        @Range(min = 0, max = 1, belowMax = true)
        double evalFraction,

        @Key(value = "What a row looks like.", orElse = "alpaca")
        DataFormat format,

        @Key(value = "What the fields of a row are called in your files.", orElse = "{}")
        FieldNames fields,

        @Key(
                value = "How a row becomes prompt and answer: a name, or your own as a map of prompt,"
                        + " prompt_with_input, history_turn and answer.",
                orElse = "human_assistant")
        TemplateChoice template,

        @Key(value = "Put the tokenizer's BOS token before each row.", orElse = "false")
        boolean addBos,

        @Key(value = "Tokens a row may have; what is longer is cut at the end.", orElse = "384")
        @Range(min = 2, max = 1_048_576)
        int maxLength,

        @Key(value = "Draw the rows in a new random order each epoch.", orElse = "true")
        boolean shuffle,

        @Key(
                value = "Lay several short rows into one of up to max_length tokens; each attends to itself alone.",
                orElse = "false")
        boolean packing,

        @Key(value = "Learn the prompt's tokens too, not the answer's alone.", orElse = "false")
        boolean trainOnPrompt,

        @Key(value = "What to do with a row that cannot be read: error stops, skip counts it.", orElse = "error")
        OnBadRow onBadRow,

        @Key("Directory for the cache of tokenized rows; left out, one of the program's own.")
        Path cacheDir) {

    /** Copies the lists; {@code ~/} is the user's home. */
    public DataSection {
        train = train.stream().map(Scalars::atHome).toList();
        eval = eval.stream().map(Scalars::atHome).toList();
    }

    /** There are rows to evaluate on. */
    public boolean hasEval() {
        return !eval.isEmpty() || evalFraction > 0;
    }
}
