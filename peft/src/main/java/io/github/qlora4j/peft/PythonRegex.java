package io.github.qlora4j.peft;

import io.github.qlora4j.quant.QloraException;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/** Reads a regular expression in Python's spelling with Java's engine. */
public final class PythonRegex {

    private PythonRegex() {}

    /** Compiles an expression; {@code key} is the configuration key that an error names. */
    public static Pattern compile(String expression, String key) {
        String java = expression
                .replaceAll("\\(\\?P<", "(?<")
                .replaceAll("\\(\\?P=(\\w+)\\)", "\\\\k<$1>")
                .replace("\\Z", "\\z");
        try {
            return Pattern.compile(java);
        } catch (PatternSyntaxException e) {
            throw new QloraException(
                    key + " is not a regular expression that can be read: '" + shortened(expression) + "': "
                            + e.getDescription() + ". Mend it, or give a list of module names.",
                    e);
        }
    }

    private static String shortened(String expression) {
        return expression.length() > 200 ? expression.substring(0, 200) + "…" : expression;
    }
}
