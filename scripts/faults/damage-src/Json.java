package damage;

import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/** A JSON text as a tree that can be made wrong: keys may stand twice, and a leaf may be any text at all. */
final class Json {

    /** Values that no key expects, sizes that nothing has, and texts that are not JSON. */
    static final List<String> HOSTILE = List.of(
            "null", "true", "false", "0", "-1", "1", "2", "3", "7", "0.5", "-0.0", "1.0", "1e3", "1e-400", "1e400", "-1e400",
            "65536", "1048577", "2147483647", "2147483648", "-2147483648", "4294967296", "9223372036854775807",
            "9223372036854775808", "-9223372036854775809", "1" + "0".repeat(5000), "1e999999999", "NaN", "Infinity", "01", "1.",
            ".5", "+1", "0x10", "\"\"", "\" \"", "\"0\"", "\"-1\"", "\"true\"", "\"null\"", "\"model.safetensors\"",
            "\"../../etc/passwd\"", "\"/etc/passwd\"", "\"a/b\"", "\"C:\\\\x\"", "\"\\u0000\"", "\"\\ud800\"", "\"\\u001b[31m\\n\"",
            "\"" + "x".repeat(5000) + "\"", "\"\\uD83D\\uDE00\"", "'x'", "x", "\"unclosed", "\"" + "(".repeat(50000) + "\"", "\"(a*)*b\"", "\"[\"", "[]", "{}", "[[]]", "[{}]",
            "{\"\": null}", "[null]", "[1, 2, 3]", "[\"a\", \"a\"]", "{\"a\": 1, \"a\": 2}", "[1,]", "[,1]", "{\"a\": 1,}",
            "// x", "/* x */ 1", "");

    private static final List<Integer> DEPTHS = List.of(3, 100, 254, 256, 1000, 20_000, 200_000);

    /** Names for a list or a map; absent for a leaf, whose text stands in {@code raw}. */
    private final List<String> keys;

    private final List<Json> children;
    private String raw;

    private Json(List<String> keys, List<Json> children, String raw) {
        this.keys = keys;
        this.children = children;
        this.raw = raw;
    }

    static Json leaf(String raw) {
        return new Json(null, null, raw);
    }

    static Json parse(String text) {
        int[] at = {0};
        return value(text, at);
    }

    private static Json value(String text, int[] at) {
        space(text, at);
        char c = text.charAt(at[0]);
        if (c == '{' || c == '[') {
            Json node = new Json(c == '{' ? new ArrayList<>() : null, new ArrayList<>(), null);
            at[0]++;
            for (space(text, at); text.charAt(at[0]) != '}' && text.charAt(at[0]) != ']'; space(text, at)) {
                if (text.charAt(at[0]) == ',') {
                    at[0]++;
                    space(text, at);
                }
                if (c == '{') {
                    String key = token(text, at);
                    node.keys.add(key.substring(1, key.length() - 1));
                    space(text, at);
                    at[0]++;
                }
                node.children.add(value(text, at));
            }
            at[0]++;
            return node;
        }
        return leaf(token(text, at));
    }

    private static void space(String text, int[] at) {
        while (at[0] < text.length() && Character.isWhitespace(text.charAt(at[0]))) {
            at[0]++;
        }
    }

    private static String token(String text, int[] at) {
        int start = at[0];
        if (text.charAt(start) == '"') {
            for (at[0]++; text.charAt(at[0]) != '"'; at[0]++) {
                at[0] += text.charAt(at[0]) == '\\' ? 1 : 0;
            }
            at[0]++;
        } else {
            while (at[0] < text.length() && ",]} \n\r\t".indexOf(text.charAt(at[0])) < 0) {
                at[0]++;
            }
        }
        return text.substring(start, at[0]);
    }

    @Override
    public String toString() {
        StringBuilder out = new StringBuilder();
        write(out);
        return out.toString();
    }

    private void write(StringBuilder out) {
        if (children == null) {
            out.append(raw);
            return;
        }
        out.append(keys != null ? '{' : '[');
        for (int i = 0; i < children.size(); i++) {
            out.append(i == 0 ? "" : ", ");
            if (keys != null) {
                out.append('"').append(keys.get(i)).append("\": ");
            }
            children.get(i).write(out);
        }
        out.append(keys != null ? '}' : ']');
    }

    int size() {
        return children == null ? 0 : children.size();
    }

    Json get(int index) {
        return children.get(index);
    }

    Json get(String key) {
        return children.get(keys.indexOf(key));
    }

    boolean has(String key) {
        return keys != null && keys.contains(key);
    }

    List<String> keys() {
        return keys;
    }

    String raw() {
        return raw;
    }

    void set(String key, Json value) {
        children.set(keys.indexOf(key), value);
    }

    void set(int index, Json value) {
        children.set(index, value);
    }

    /** Changes one thing somewhere in the tree and says what. */
    String damage(SplittableRandom random) {
        if (children == null || children.isEmpty()) {
            String old = shown(toString());
            become(hostile(random));
            return "the whole value " + old + " became " + shown(toString());
        }
        Json parent = this;
        String path = "";
        int index = random.nextInt(children.size());
        // mostly near the top, where the keys are; a vocabulary would draw nearly all of it
        while (parent.children.get(index).size() > 0 && random.nextInt(100) < 60) {
            path += parent.name(index) + "/";
            parent = parent.children.get(index);
            index = random.nextInt(parent.children.size());
        }
        return path + parent.name(index) + ": " + parent.damage(index, random);
    }

    private String name(int index) {
        return keys == null ? "[" + index + "]" : shown(keys.get(index));
    }

    private String damage(int index, SplittableRandom random) {
        Json child = children.get(index);
        switch (random.nextInt(keys == null ? 7 : 9)) {
            case 0 -> {
                children.remove(index);
                if (keys != null) {
                    keys.remove(index);
                }
                return "removed";
            }
            case 1 -> {
                Json twin = random.nextBoolean() ? parse(safe(child)) : leaf(hostile(random));
                children.add(index, twin);
                if (keys != null) {
                    keys.add(index, keys.get(index));
                }
                return "stands twice, once as " + shown(twin.toString());
            }
            case 2 -> {
                int other = random.nextInt(children.size());
                Json swapped = children.get(other);
                children.set(other, child);
                children.set(index, swapped);
                return "swapped with " + name(other);
            }
            case 3 -> {
                int depth = DEPTHS.get(random.nextInt(DEPTHS.size()));
                boolean array = random.nextBoolean();
                children.set(index, leaf((array ? "[" : "{\"a\": ").repeat(depth) + child + (array ? "]" : "}").repeat(depth)));
                return "nested " + depth + " deep";
            }
            case 4, 5, 6 -> {
                String now = child.children == null && random.nextInt(3) == 0 ? tweaked(child.raw, random) : hostile(random);
                String old = shown(child.toString());
                children.set(index, leaf(now));
                return old + " became " + shown(now);
            }
            case 7 -> {
                String key = keys.get(index);
                String now =
                        switch (random.nextInt(5)) {
                            case 0 -> "";
                            case 1 -> key + "_";
                            case 2 -> key.substring(key.length() / 2);
                            case 3 -> keys.get(random.nextInt(keys.size()));
                            default -> "\\u001b[2J" + key;
                        };
                keys.set(index, now);
                return "renamed to " + shown(now);
            }
            default -> {
                keys.add(index, "extra");
                children.add(index, leaf(hostile(random)));
                return "a key \"extra\" before it";
            }
        }
    }

    private void become(String text) {
        if (children == null) {
            raw = text;
        } else {
            children.clear();
            if (keys != null) {
                keys.clear();
            }
        }
    }

    private static String safe(Json value) {
        return value.children == null && HOSTILE.contains(value.raw) ? "null" : value.toString();
    }

    static String hostile(SplittableRandom random) {
        return HOSTILE.get(random.nextInt(HOSTILE.size()));
    }

    /** A value that is nearly right. */
    private static String tweaked(String raw, SplittableRandom random) {
        if (raw.matches("-?[0-9]{1,18}")) {
            long n = Long.parseLong(raw);
            return switch (random.nextInt(6)) {
                case 0 -> String.valueOf(n + 1);
                case 1 -> String.valueOf(n - 1);
                case 2 -> String.valueOf(n * 2);
                case 3 -> String.valueOf(n * 1000003);
                case 4 -> n + ".5";
                default -> "\"" + raw + "\"";
            };
        }
        if (raw.length() > 2 && raw.startsWith("\"")) {
            return switch (random.nextInt(4)) {
                case 0 -> raw.substring(0, raw.length() - 2) + "\"";
                case 1 -> raw.toUpperCase(java.util.Locale.ROOT);
                case 2 -> "\"" + raw.substring(2);
                default -> raw.substring(1, raw.length() - 1);
            };
        }
        return "-" + raw;
    }

    static String shown(String text) {
        String plain = text.length() > 60 ? text.substring(0, 60) + "… (" + text.length() + " characters)" : text;
        return plain.chars().anyMatch(c -> c < ' ') ? plain.replaceAll("\\p{Cntrl}", "?") : plain;
    }
}
