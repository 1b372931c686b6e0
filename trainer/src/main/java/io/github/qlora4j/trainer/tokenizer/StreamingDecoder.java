package io.github.qlora4j.trainer.tokenizer;

import java.util.Arrays;

/**
 * Text from ids as they are generated, never half a character.
 *
 * <p>What {@link #add} and {@link #finish} return, one behind the other, equals {@link Tokenizer#decode} of all the ids. A
 * character whose bytes are spread over several tokens is held back until its last byte has come. For one thread.
 */
public final class StreamingDecoder {

    // Ids before the new ones, decoded with them, so that a decoder that treats the first token apart does not see one.
    private static final int CONTEXT = 8;

    private static final char UNKNOWN = '\uFFFD';

    private final Tokenizer tokenizer;
    private final boolean skipSpecial;
    private final StringBuilder text = new StringBuilder();
    private int[] ids = new int[64];
    private int count;
    private int shown;

    StreamingDecoder(Tokenizer tokenizer, boolean skipSpecial) {
        this.tokenizer = tokenizer;
        this.skipSpecial = skipSpecial;
    }

    /** Takes the next id and returns the text that is now certain, often of this token alone, at times empty. */
    public String add(int id) {
        if (count == ids.length) {
            ids = Arrays.copyOf(ids, count * 2);
        }
        ids[count++] = id;
        if (isOfRun(id)) {
            return "";
        }
        int from = shown;
        String before = "";
        if (shown > 0) {
            from = Math.max(0, shown - CONTEXT);
            before = tokenizer.decode(ids, from, shown, skipSpecial);
            while (before.isEmpty() && from > 0) {
                from = Math.max(0, from - CONTEXT);
                before = tokenizer.decode(ids, from, shown, skipSpecial);
            }
            while (from > 0 && isOfRun(ids[from])) {
                before = tokenizer.decode(ids, --from, shown, skipSpecial);
            }
        }
        String all = tokenizer.decode(ids, from, count, skipSpecial);
        if (all.isEmpty() || all.charAt(all.length() - 1) == UNKNOWN || !all.startsWith(before)) {
            return "";
        }
        shown = count;
        return show(all.substring(before.length()));
    }

    /**
     * A run of byte tokens is read as a whole, and one byte that does not fit makes all of it U+FFFD: nothing of it is
     * certain, and no context may begin inside it, before the run ends. A token that adds no text does not end it.
     */
    private boolean isOfRun(int id) {
        return tokenizer.isByteToken(id) || tokenizer.addsNoText(id, skipSpecial);
    }

    /** Returns what was held back; bytes that never became a character come as U+FFFD. */
    public String finish() {
        String whole = tokenizer.decode(ids, 0, count, skipSpecial);
        shown = count;
        return whole.length() > text.length() ? show(whole.substring(text.length())) : "";
    }

    private String show(String piece) {
        text.append(piece);
        return piece;
    }
}
