package io.github.qlora4j.quant.internal;

/** Text out of a file made fit for a terminal. */
public final class Printable {

    private Printable() {}

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
