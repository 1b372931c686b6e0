package io.github.qlora4j.trainer.config;

/** How a row becomes prompt and answer: {@code data.template}. */
public sealed interface TemplateChoice {

    /** A template that comes with the program. */
    record Named(BuiltinTemplate name) implements TemplateChoice {}

    /**
     * The user's own, as a map in YAML.
     *
     * <p>{@code {instruction}}, {@code {input}} and {@code {output}} stand for the row's fields, {@code {history}} for the
     * rendered earlier turns; other text, line breaks too, is taken as it stands. Where the prompt has no
     * {@code {history}}, the turns go before it.
     */
    record Custom(
            @Key(value = "Text before the answer; must hold {instruction}.", required = true)
            String prompt,

            @Key("The prompt for rows whose input is not empty; left out, prompt serves for all rows.")
            String promptWithInput,

            @Key(
                    "One earlier turn, as text in the prompt; must hold {instruction} and {output}. Left out, each earlier turn is"
                            + " laid out as a row of its own: prompt, answer, EOS.")
            String historyTurn,

            @Key(value = "The answer, followed by EOS; must hold {output}.", orElse = "\"{output}\"")
            String answer)
            implements TemplateChoice {}

    /** The template of this name that comes with the program. */
    static TemplateChoice named(BuiltinTemplate name) {
        return new Named(name);
    }
}
