package io.github.qlora4j.trainer.cli;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonPrimitive;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.trainer.data.JsonObjects;
import io.github.qlora4j.trainer.tokenizer.Tokenizer;
import java.util.function.Supplier;

/** Rows of {@code {"text": …}} or {@code {"input_ids": […]}} as token ids. */
final class TokenRows {

    private TokenRows() {}

    /**
     * The ids of a row, at least one.
     *
     * @param tokenizer asked for where a row is a text; texts get what {@code tokenizer.json} puts around them
     */
    static int[] ids(JsonObjects row, Supplier<Tokenizer> tokenizer) {
        if (row.value().has("input_ids")) {
            if (!(row.value().get("input_ids") instanceof JsonArray list) || list.isEmpty()) {
                throw row.wrong("input_ids", "expected a list of token ids, at least one");
            }
            int[] ids = new int[list.size()];
            for (int i = 0; i < ids.length; i++) {
                ids[i] = id(row, list.get(i), i);
            }
            return ids;
        }
        if (!row.value().has("text")) {
            throw new QloraException(row.place() + ": a row has \"text\" or \"input_ids\"; found "
                    + (row.value().keySet().isEmpty() ? "nothing" : row.value().keySet()));
        }
        String text = row.text("text");
        try {
            int[] ids = tokenizer.get().encodeWithSpecialTokens(text);
            if (ids.length == 0) {
                throw new QloraException("the text has no token");
            }
            return ids;
        } catch (QloraException e) {
            throw new QloraException(row.place() + ": " + e.getMessage(), e);
        }
    }

    private static int id(JsonObjects row, JsonElement value, int at) {
        if (value instanceof JsonPrimitive number && number.isNumber()) {
            try {
                return Integer.parseInt(number.getAsString());
            } catch (NumberFormatException e) {
                // not a whole number of this size: named below
            }
        }
        throw new QloraException(
                row.place() + ": field \"input_ids[" + at + "]\": expected a token id, found " + value);
    }
}
