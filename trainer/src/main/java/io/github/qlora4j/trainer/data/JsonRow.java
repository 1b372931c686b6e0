package io.github.qlora4j.trainer.data;

import com.google.gson.JsonElement;
import com.google.gson.JsonParser;
import com.google.gson.Strictness;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import java.io.IOException;
import java.io.Reader;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The fields of one JSON object that matter, each with the line it stands on; the values of the others are passed over.
 *
 * @param fields those asked for
 * @param names all names, in order, the first few
 * @param twice a name that stands twice, or {@code null}
 */
record JsonRow(Map<String, Field> fields, List<String> names, String twice) {

    private static final int NAMES = 12;
    private static final Pattern LINE = Pattern.compile(" at line (\\d+) column");

    /** A value and its line. */
    record Field(JsonElement value, int line) {}

    static JsonReader strict(Reader in) {
        JsonReader reader = new JsonReader(in);
        reader.setStrictness(Strictness.STRICT);
        return reader;
    }

    /** Reads an object; the reader stands before it. */
    static JsonRow read(JsonReader reader, Set<String> wanted) throws IOException {
        Map<String, Field> fields = new HashMap<>();
        List<String> names = new ArrayList<>();
        String twice = null;
        reader.beginObject();
        while (reader.hasNext()) {
            String name = reader.nextName();
            if (names.size() < NAMES) {
                names.add(name);
            }
            if (wanted.contains(name)) {
                reader.peek();
                int line = line(reader);
                if (fields.put(name, new Field(JsonParser.parseReader(reader), line)) != null) {
                    twice = name;
                }
            } else {
                reader.skipValue();
            }
        }
        reader.endObject();
        return new JsonRow(fields, names, twice);
    }

    /** The line the reader stands on, from 1. Gson has it in its messages alone. */
    static int line(JsonReader reader) {
        Matcher line = LINE.matcher(reader.toString());
        return line.find() ? Integer.parseInt(line.group(1)) : 1;
    }

    static boolean atObject(JsonReader reader) throws IOException {
        return reader.peek() == JsonToken.BEGIN_OBJECT;
    }
}
