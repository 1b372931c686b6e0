package io.github.qlora4j.trainer.config;

import io.github.qlora4j.quant.internal.Nearest;
import java.util.List;
import java.util.function.BiConsumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What a template of the user's own must and may hold. */
final class Placeholders {

    private static final Pattern WORD = Pattern.compile("\\{([A-Za-z_]+)\\}");
    private static final List<String> PROMPT = List.of("instruction", "input", "history");
    private static final List<String> TURN = List.of("instruction", "output");
    private static final List<String> ANSWER = List.of("output");

    private Placeholders() {}

    /** Gives each problem as the template's key and what is wrong. */
    static void check(TemplateChoice.Custom template, BiConsumer<String, String> problem) {
        check("prompt", template.prompt(), List.of("instruction"), PROMPT, problem);
        check("prompt_with_input", template.promptWithInput(), List.of("instruction", "input"), PROMPT, problem);
        check("history_turn", template.historyTurn(), List.of("instruction", "output"), TURN, problem);
        check("answer", template.answer(), ANSWER, ANSWER, problem);
        if (template.historyTurn() == null
                && fields(template.prompt() + template.promptWithInput()).contains("{history}")) {
            problem.accept("history_turn", "missing; a prompt with {history} needs it");
        }
    }

    private static void check(
            String part, String text, List<String> must, List<String> may, BiConsumer<String, String> problem) {
        if (text == null) {
            return;
        }
        String fields = fields(text);
        for (String word : must) {
            if (!fields.contains("{" + word + "}")) {
                problem.accept(part, "expected text that holds {" + word + "}; got \"" + Found.shown(text) + "\"");
            }
        }
        Matcher m = WORD.matcher(fields);
        while (m.find()) {
            if (!may.contains(m.group(1))) {
                problem.accept(
                        part,
                        "unknown placeholder " + Found.shown(m.group()) + "; here stand {" + String.join("}, {", may)
                                + "}" + Nearest.hint(m.group(1), may));
            }
        }
    }

    /** The text without its double braces, which stand for single ones. */
    private static String fields(String text) {
        return text.replace("{{", "").replace("}}", "");
    }
}
