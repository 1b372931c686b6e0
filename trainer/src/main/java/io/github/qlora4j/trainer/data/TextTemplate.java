package io.github.qlora4j.trainer.data;

import io.github.qlora4j.quant.QloraException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/**
 * A template written as text with {@code {instruction}}, {@code {input}}, {@code {output}} and {@code {history}} in it; two
 * braces of a kind stand for one.
 *
 * <p>{@code promptWithInput} is taken where {@code input} is not empty. Where there is none, {@code prompt} is taken for
 * every row. With a {@code historyTurn} the earlier turns are written by it, one behind the other, where the prompt has
 * {@code {history}}, or before the prompt where it has none.
 */
public final class TextTemplate implements Template {

    private final String name;
    private final String definition;
    private final List<Part> prompt;
    private final List<Part> promptWithInput;
    private final List<Part> historyTurn;
    private final List<Part> answer;

    /** A piece of text, or the name of a field. */
    private record Part(String text, boolean field) {}

    /**
     * Makes a template.
     *
     * @param name for messages
     * @param prompt with {@code {instruction}}, {@code {input}} and {@code {history}}
     * @param promptWithInput the same for rows with an input, or {@code null}
     * @param historyTurn an earlier turn, with {@code {instruction}} and {@code {output}}, or {@code null}
     * @param answer with {@code {output}}, which comes once
     * @throws QloraException if a brace is not closed, or an unknown field is named
     */
    public TextTemplate(String name, String prompt, String promptWithInput, String historyTurn, String answer) {
        this.name = Objects.requireNonNull(name, "name");
        List<String> promptFields =
                historyTurn == null ? List.of("instruction", "input") : List.of("instruction", "input", "history");
        this.prompt = parse("prompt", prompt, promptFields);
        this.historyTurn =
                historyTurn == null ? null : parse("history_turn", historyTurn, List.of("instruction", "output"));
        this.promptWithInput =
                promptWithInput == null ? this.prompt : parse("prompt_with_input", promptWithInput, promptFields);
        this.answer = parse("answer", answer, List.of("output"));
        if (this.answer.stream().filter(Part::field).count() != 1) {
            throw new QloraException("template " + name + ": \"answer\" must have {output} once, found: " + answer);
        }
        requireField("prompt", this.prompt, "instruction");
        requireField("prompt_with_input", this.promptWithInput, "instruction");
        this.definition =
                "text 1\n" + this.prompt + "\n" + this.promptWithInput + "\n" + this.historyTurn + "\n" + this.answer;
    }

    private void requireField(String key, List<Part> parts, String field) {
        if (!parts.contains(new Part(field, true))) {
            throw new QloraException("template " + name + ": \"" + key + "\" must have {" + field + "} where the "
                    + field + " is to stand.");
        }
    }

    private List<Part> parse(String key, String text, List<String> fields) {
        List<Part> parts = new ArrayList<>();
        StringBuilder literal = new StringBuilder();
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if ((c == '{' || c == '}') && i + 1 < text.length() && text.charAt(i + 1) == c) {
                literal.append(c);
                i++;
            } else if (c == '{' && text.indexOf('}', i) > 0) {
                int end = text.indexOf('}', i);
                String field = text.substring(i + 1, end);
                if (!fields.contains(field)) {
                    throw new QloraException("template " + name + ": \"" + key + "\" names {" + field + "}; expected {"
                            + String.join("}, {", fields) + "}. Write {{ and }} for braces.");
                }
                parts.add(new Part(literal.toString(), false));
                parts.add(new Part(field, true));
                literal.setLength(0);
                i = end;
            } else if (c == '{' || c == '}') {
                throw new QloraException("template " + name + ": \"" + key + "\" has a single " + c + " at character "
                        + i + ". Write {{ and }} for braces.");
            } else {
                literal.append(c);
            }
        }
        parts.add(new Part(literal.toString(), false));
        return List.copyOf(parts);
    }

    @Override
    public boolean historyInPrompt() {
        return historyTurn != null;
    }

    @Override
    public String prompt(String instruction, String input, List<Row.Turn> history) {
        StringBuilder turns = new StringBuilder();
        for (Row.Turn turn : history) {
            turns.append(fill(historyTurn, Map.of("instruction", turn.question(), "output", turn.answer())));
        }
        List<Part> parts = input.isEmpty() ? prompt : promptWithInput;
        String text = fill(parts, Map.of("instruction", instruction, "input", input, "history", turns.toString()));
        return parts.contains(new Part("history", true)) ? text : turns + text;
    }

    @Override
    public String answer(String output) {
        return fill(answer, Map.of("output", output));
    }

    @Override
    public String definition() {
        return definition;
    }

    private static String fill(List<Part> parts, Map<String, String> fields) {
        StringBuilder text = new StringBuilder();
        for (Part part : parts) {
            text.append(part.field() ? fields.get(part.text()) : part.text());
        }
        return text.toString();
    }
}
