package io.github.qlora4j.peft;

import io.github.qlora4j.quant.internal.PythonFloat;
import java.util.Collection;
import java.util.Iterator;
import java.util.Map;

/** Writes JSON as Python's {@code json.dumps(value, indent=2)} does, so that files equal peft's byte for byte. */
final class PythonJson {

    private final StringBuilder out = new StringBuilder();

    private PythonJson() {}

    /** Writes maps, collections, strings, numbers, booleans and null; a map's keys in its own order. */
    static String write(Object value) {
        PythonJson json = new PythonJson();
        json.value(value, "\n");
        return json.out.toString();
    }

    private void value(Object value, String newline) {
        if (value instanceof Map<?, ?> map) {
            entries(map, newline);
        } else if (value instanceof Collection<?> list) {
            elements(list, newline);
        } else if (value instanceof String text) {
            string(text);
        } else if (value instanceof Double number) {
            out.append(PythonFloat.of(number));
        } else {
            out.append(value); // null, booleans and integers are spelt as Java does
        }
    }

    private void entries(Map<?, ?> map, String newline) {
        if (map.isEmpty()) {
            out.append("{}");
            return;
        }
        String inner = newline + "  ";
        out.append('{');
        for (Iterator<? extends Map.Entry<?, ?>> it = map.entrySet().iterator(); it.hasNext(); ) {
            Map.Entry<?, ?> entry = it.next();
            out.append(inner);
            string((String) entry.getKey());
            out.append(": ");
            value(entry.getValue(), inner);
            out.append(it.hasNext() ? "," : newline);
        }
        out.append('}');
    }

    private void elements(Collection<?> list, String newline) {
        if (list.isEmpty()) {
            out.append("[]");
            return;
        }
        String inner = newline + "  ";
        out.append('[');
        for (Iterator<?> it = list.iterator(); it.hasNext(); ) {
            out.append(inner);
            value(it.next(), inner);
            out.append(it.hasNext() ? "," : newline);
        }
        out.append(']');
    }

    private void string(String text) {
        out.append('"');
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            switch (c) {
                case '"' -> out.append("\\\"");
                case '\\' -> out.append("\\\\");
                case '\n' -> out.append("\\n");
                case '\r' -> out.append("\\r");
                case '\t' -> out.append("\\t");
                case '\b' -> out.append("\\b");
                case '\f' -> out.append("\\f");
                default -> {
                    if (c < 0x20 || c > 0x7e) {
                        out.append(String.format("\\u%04x", (int) c));
                    } else {
                        out.append(c);
                    }
                }
            }
        }
        out.append('"');
    }
}
