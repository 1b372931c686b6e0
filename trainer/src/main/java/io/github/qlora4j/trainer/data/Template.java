package io.github.qlora4j.trainer.data;

import io.github.qlora4j.trainer.config.TemplateChoice;
import java.util.List;

/**
 * The words around an instruction and its answer; one and the same for training, evaluation, generation and chat.
 *
 * <p>Earlier turns of a row are laid out as rows of their own: prompt, answer, EOS, one behind the other. A template of
 * the user's that has a {@code history_turn} writes them into the prompt instead.
 */
public sealed interface Template permits HumanAssistantTemplate, TextTemplate {

    /** {@code "Human: " + instruction + "\n" + input}, stripped, then {@code "\n\nAssistant: "} and the answer. */
    Template HUMAN_ASSISTANT = new HumanAssistantTemplate();

    /**
     * The wording of Stanford Alpaca ({@code train.py} of tatsu-lab/stanford_alpaca), with and without input; the answer
     * follows {@code ### Response:} at once.
     */
    Template ALPACA = new TextTemplate(
            "alpaca",
            "Below is an instruction that describes a task. Write a response that appropriately completes the"
                    + " request.\n\n### Instruction:\n{instruction}\n\n### Response:",
            "Below is an instruction that describes a task, paired with an input that provides further context. Write a"
                    + " response that appropriately completes the request.\n\n### Instruction:\n{instruction}\n\n###"
                    + " Input:\n{input}\n\n### Response:",
            null,
            "{output}");

    /** The template that a configuration names or holds. */
    static Template of(TemplateChoice choice) {
        if (choice instanceof TemplateChoice.Custom own) {
            return new TextTemplate(
                    "data.template", own.prompt(), own.promptWithInput(), own.historyTurn(), own.answer());
        }
        return switch (((TemplateChoice.Named) choice).name()) {
            case HUMAN_ASSISTANT -> HUMAN_ASSISTANT;
            case ALPACA -> ALPACA;
        };
    }

    /** Whether {@link #prompt} writes the earlier turns itself; if not, it is given none. */
    boolean historyInPrompt();

    /** Everything up to the answer. */
    String prompt(String instruction, String input, List<Row.Turn> history);

    /** The answer as it is learned; EOS follows it. */
    String answer(String output);

    /** What decides the texts: two templates that give the same texts may share a cache. */
    String definition();
}
