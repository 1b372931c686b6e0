package io.github.qlora4j.quant.internal;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Text out of a file made fit for a terminal. */
public final class Printable {

    /** Without a space; no name that anybody reads is as long. */
    private static final Pattern LONG_WORD = Pattern.compile("\\S{500,}");

    private static final int LONGEST = 8000;

    private Printable() {}

    /** As {@link #of}, and what is too long to be read, out of a file again, is cut: {@code …} stands for the rest. */
    public static String message(String text) {
        if (text == null || text.length() < 500) {
            return of(text);
        }
        String cut = LONG_WORD
                .matcher(text)
                .replaceAll(word -> Matcher.quoteReplacement(word.group().substring(0, 200) + "…"));
        return of(cut.length() > LONGEST ? cut.substring(0, LONGEST) + "…" : cut);
    }

    /** The text with each character that could steer a terminal written as its number, such as {@code \\u001b}. */
    public static String of(String text) {
        if (text == null || text.codePoints().noneMatch(Printable::steers)) {
            return text;
        }
        StringBuilder plain = new StringBuilder();
        text.codePoints().forEach(c -> {
            if (steers(c)) {
                plain.append(String.format("\\u%04x", c));
            } else {
                plain.appendCodePoint(c);
            }
        });
        return plain.toString();
    }

    /** Whether a character moves the cursor, turns the direction of the text, breaks a line unseen, or is none. */
    private static boolean steers(int c) {
        return switch (Character.getType(c)) {
            case Character.CONTROL -> c != '\n' && c != '\t';
            // the joiners belong to scripts and emoji
            case Character.FORMAT -> c != 0x200C && c != 0x200D;
            case Character.LINE_SEPARATOR, Character.PARAGRAPH_SEPARATOR, Character.SURROGATE -> true;
            default -> false;
        };
    }
}
