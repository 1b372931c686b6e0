package io.github.qlora4j.trainer.data;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonPrimitive;
import io.github.qlora4j.trainer.config.DataFormat;
import io.github.qlora4j.trainer.config.FieldNames;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;

/** Which fields a row has in a format, and what must be in them. */
final class RowFields {

    private final DataFormat format;
    private final FieldNames names;
    private final int vocabSize;

    RowFields(DataFormat format, FieldNames names, int vocabSize) {
        this.format = format;
        this.names = names;
        this.vocabSize = vocabSize;
    }

    Set<String> wanted() {
        return Set.copyOf(
                switch (format) {
                    case ALPACA -> List.of(names.instruction(), names.input(), names.output(), names.history());
                    case TEXT -> List.of(names.text());
                    case TOKENIZED -> List.of(names.inputIds(), names.labels());
                });
    }

    /** Checks a row; throws {@link BadRowException}. */
    Row row(JsonRow json, RowPlace place) {
        if (json.twice() != null) {
            throw new BadRowException(place + ": field \"" + json.twice() + "\" stands twice");
        }
        return switch (format) {
            case ALPACA -> instruction(json, place);
            case TEXT -> new Row.Text(filled(text(json, place, names.text(), true), json, place, names.text()));
            case TOKENIZED -> tokens(json, place);
        };
    }

    private Row.Instruction instruction(JsonRow json, RowPlace place) {
        String instruction = text(json, place, names.instruction(), true);
        String input = text(json, place, names.input(), false);
        String output = text(json, place, names.output(), true);
        if (PythonText.isBlank(instruction) && PythonText.isBlank(input) && PythonText.isBlank(output)) {
            throw new BadRowException(place + ": \"" + names.instruction() + "\", \"" + names.input() + "\" and \""
                    + names.output() + "\" are all blank");
        }
        return new Row.Instruction(instruction, input, output, history(json, place));
    }

    private List<Row.Turn> history(JsonRow json, RowPlace place) {
        JsonRow.Field field = json.fields().get(names.history());
        if (field == null || field.value().isJsonNull()) {
            return List.of();
        }
        String name = names.history();
        if (!(field.value() instanceof JsonArray turns)) {
            throw wrong(field, place, name, "a list of [question, answer] pairs");
        }
        List<Row.Turn> history = new ArrayList<>();
        for (JsonElement turn : turns) {
            if (!(turn instanceof JsonArray pair)
                    || pair.size() != 2
                    || !isString(pair.get(0))
                    || !isString(pair.get(1))) {
                throw wrong(
                        new JsonRow.Field(turn, field.line()),
                        place,
                        name + "[" + history.size() + "]",
                        "a pair of texts, [question, answer]");
            }
            history.add(new Row.Turn(pair.get(0).getAsString(), pair.get(1).getAsString()));
        }
        return history;
    }

    private Row.Tokens tokens(JsonRow json, RowPlace place) {
        JsonRow.Field field = json.fields().get(names.inputIds());
        if (field == null) {
            throw missing(json, place, names.inputIds());
        }
        int[] ids = ints(field, place, names.inputIds(), false);
        if (ids.length == 0) {
            throw wrong(field, place, names.inputIds(), "at least one token id");
        }
        JsonRow.Field learned = json.fields().get(names.labels());
        if (learned == null || learned.value().isJsonNull()) {
            return new Row.Tokens(new Example(ids, ids));
        }
        int[] labels = ints(learned, place, names.labels(), true);
        if (labels.length != ids.length) {
            throw new BadRowException(new RowPlace(place.file(), learned.line()) + ": field \"" + names.labels()
                    + "\" has " + labels.length + " entries, \"" + names.inputIds() + "\" " + ids.length
                    + "; expected as many");
        }
        return new Row.Tokens(new Example(ids, Arrays.equals(ids, labels) ? ids : labels));
    }

    private int[] ints(JsonRow.Field field, RowPlace place, String name, boolean maskable) {
        String expected = maskable
                ? "a list of token ids below " + vocabSize + ", or " + Example.MASKED + " for what is not learned"
                : "a list of token ids below " + vocabSize;
        if (!(field.value() instanceof JsonArray list)) {
            throw wrong(field, place, name, expected);
        }
        int[] ids = new int[list.size()];
        for (int i = 0; i < ids.length; i++) {
            JsonElement value = list.get(i);
            int id = Integer.MIN_VALUE;
            if (value instanceof JsonPrimitive number && number.isNumber()) {
                try {
                    id = Integer.parseInt(number.getAsString());
                } catch (NumberFormatException e) {
                    // not a whole number of this size: named below
                }
            }
            if ((id < 0 || id >= vocabSize) && !(maskable && id == Example.MASKED)) {
                throw wrong(new JsonRow.Field(value, field.line()), place, name + "[" + i + "]", expected);
            }
            ids[i] = id;
        }
        return ids;
    }

    private static String text(JsonRow json, RowPlace place, String name, boolean required) {
        JsonRow.Field field = json.fields().get(name);
        if (field == null || !required && field.value().isJsonNull()) {
            if (required) {
                throw missing(json, place, name);
            }
            return "";
        }
        if (!isString(field.value())) {
            throw wrong(field, place, name, "text");
        }
        return field.value().getAsString();
    }

    private static String filled(String text, JsonRow json, RowPlace place, String name) {
        if (PythonText.isBlank(text)) {
            throw wrong(json.fields().get(name), place, name, "text that is not blank");
        }
        return text;
    }

    private static boolean isString(JsonElement value) {
        return value instanceof JsonPrimitive p && p.isString();
    }

    private static BadRowException missing(JsonRow json, RowPlace place, String name) {
        return new BadRowException(place + ": field \"" + name + "\" is missing; the row has "
                + (json.names().isEmpty() ? "no fields" : "\"" + String.join("\", \"", json.names()) + "\"")
                + ". Say under data.fields what yours are called.");
    }

    private static BadRowException wrong(JsonRow.Field field, RowPlace place, String name, String expected) {
        String found = field.value().toString();
        return new BadRowException(new RowPlace(place.file(), field.line()) + ": field \"" + name + "\": expected "
                + expected + ", found " + (found.length() <= 40 ? found : found.substring(0, 40) + "…"));
    }
}
