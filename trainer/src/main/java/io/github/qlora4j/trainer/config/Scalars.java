package io.github.qlora4j.trainer.config;

import io.github.qlora4j.quant.internal.FileNames;
import java.lang.reflect.Field;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.snakeyaml.engine.v2.nodes.Node;
import org.snakeyaml.engine.v2.nodes.ScalarNode;
import org.snakeyaml.engine.v2.nodes.Tag;

/** Values of one word: truth, numbers, text, and choices among names. */
final class Scalars {

    private static final String NULL_HINT = "; leave the key out for its default";

    private Scalars() {}

    /** {@code true} or {@code false}. */
    record Flag() implements ValueType {
        @Override
        public String expected() {
            return "true or false";
        }

        @Override
        public Object read(Node node, String key, Report report) {
            String text = textOf(node);
            if (node.getTag().equals(Tag.BOOL) && text != null) {
                return Boolean.valueOf(text.toLowerCase(Locale.ROOT));
            }
            String hint = text == null
                    ? ""
                    : switch (text.toLowerCase(Locale.ROOT)) {
                        case "yes", "on", "y", "1", "true" -> "; write true";
                        case "no", "off", "n", "0", "false" -> "; write false";
                        default -> nullHint(node);
                    };
            return wrong(node, key, report, hint);
        }

        @Override
        public Map<String, Object> schema() {
            return Map.of("type", "boolean");
        }
    }

    /** A whole number that fits an {@code int}. */
    record Whole(Bounds bounds) implements ValueType {
        @Override
        public String expected() {
            return bounds.expected("a whole number");
        }

        @Override
        public Object read(Node node, String key, Report report) {
            String text = textOf(node);
            if (node.getTag().equals(Tag.INT) && text != null) {
                try {
                    BigInteger value = whole(text);
                    if (bounds.holds(value.doubleValue()) && value.bitLength() < 32) {
                        return value.intValueExact();
                    }
                } catch (NumberFormatException e) {
                    return wrong(node, key, report, "");
                }
            }
            return wrong(node, key, report, numberHint(node, true));
        }

        @Override
        public Map<String, Object> schema() {
            return bounds.schema("integer");
        }
    }

    /** A finite number. */
    record Decimal(Bounds bounds) implements ValueType {
        @Override
        public String expected() {
            return bounds.expected("a number");
        }

        @Override
        public Object read(Node node, String key, Report report) {
            String text = textOf(node);
            try {
                if (node.getTag().equals(Tag.INT) && text != null) {
                    double value = whole(text).doubleValue();
                    if (bounds.holds(value)) {
                        return value;
                    }
                } else if (node.getTag().equals(Tag.FLOAT) && text != null) {
                    double value = Double.parseDouble(text);
                    if (bounds.holds(value)) {
                        return value;
                    }
                }
            } catch (NumberFormatException e) {
                return wrong(node, key, report, ""); // .inf and .nan
            }
            return wrong(node, key, report, numberHint(node, false));
        }

        @Override
        public Map<String, Object> schema() {
            return bounds.schema("number");
        }
    }

    /** Text that is not empty. */
    record Text() implements ValueType {
        @Override
        public String expected() {
            return "text";
        }

        @Override
        public Object read(Node node, String key, Report report) {
            return text(this, node, key, report);
        }

        @Override
        public Map<String, Object> schema() {
            Map<String, Object> schema = new LinkedHashMap<>();
            schema.put("type", "string");
            schema.put("minLength", 1);
            return schema;
        }

        @Override
        public Object standIn() {
            return "-";
        }
    }

    /** The name of a file or directory; {@code ~/} is the user's home. */
    record PathText() implements ValueType {
        @Override
        public String expected() {
            return "a path";
        }

        @Override
        public Object read(Node node, String key, Report report) {
            String text = text(this, node, key, report);
            if (text == null) {
                return null;
            }
            Optional<String> tooLong = FileNames.tooLong(text);
            if (tooLong.isPresent()) {
                report.add(node, key, "not a path: " + tooLong.get());
                return null;
            }
            try {
                return Path.of(atHome(text));
            } catch (InvalidPathException e) {
                report.add(node, key, "not a path: " + FileNames.reason(e) + "; got " + Found.in(node));
                return null;
            }
        }

        @Override
        public Map<String, Object> schema() {
            return new Text().schema();
        }

        @Override
        public Object standIn() {
            return Path.of("-");
        }
    }

    /** An amount of memory. */
    record Size() implements ValueType {
        @Override
        public String expected() {
            return MemorySize.EXPECTED;
        }

        @Override
        public Object read(Node node, String key, Report report) {
            String text = textOf(node);
            if (text != null && (node.getTag().equals(Tag.STR) || node.getTag().equals(Tag.INT))) {
                try {
                    return MemorySize.parse(text);
                } catch (IllegalArgumentException e) {
                    return wrong(node, key, report, "");
                }
            }
            return wrong(node, key, report, nullHint(node));
        }

        @Override
        public Map<String, Object> schema() {
            Map<String, Object> schema = new LinkedHashMap<>();
            schema.put("type", List.of("string", "integer"));
            schema.put("pattern", "^\\d+(\\.\\d+)? ?([kKmMgGtT][iI]?[bB]|[bB])?$");
            schema.put("minimum", 1);
            return schema;
        }
    }

    /** A constant of an enum, by its name in lower case or another spelling of it. */
    record OneOf(Map<String, Object> byName, Map<String, Object> bySpelling) implements ValueType {

        static OneOf of(Class<?> type) {
            Map<String, Object> names = new LinkedHashMap<>();
            Map<String, Object> spellings = new LinkedHashMap<>();
            for (Object constant : type.getEnumConstants()) {
                String name = name((Enum<?>) constant);
                names.put(name, constant);
                spellings.put(name, constant);
                Spelled spelled = field(type, (Enum<?>) constant).getAnnotation(Spelled.class);
                for (String other : spelled == null ? new String[0] : spelled.value()) {
                    spellings.put(other, constant);
                }
            }
            return new OneOf(names, spellings);
        }

        /** How a constant is written in YAML. */
        static String name(Enum<?> constant) {
            return constant.name().toLowerCase(Locale.ROOT);
        }

        @Override
        public String expected() {
            return byName.size() == 1
                    ? String.join("", byName.keySet())
                    : "one of " + String.join(", ", byName.keySet());
        }

        @Override
        public Object read(Node node, String key, Report report) {
            String text = textOf(node);
            if (text == null || YamlText.isNull(node)) {
                return wrong(node, key, report, nullHint(node));
            }
            boolean truth = node.getTag().equals(Tag.BOOL);
            Object constant = bySpelling.get(truth ? text.toLowerCase(Locale.ROOT) : text);
            // A quoted "true" is not the choice true.
            boolean quoted = node.getTag().equals(Tag.STR) && (text.equals("true") || text.equals("false"));
            if (constant != null && !quoted) {
                return constant;
            }
            if (truth && byName.containsKey("no")) {
                return wrong(node, key, report, text.equalsIgnoreCase("false") ? "; did you mean no?" : "");
            }
            return wrong(node, key, report, Hints.ofValue(text, byName.keySet()));
        }

        @Override
        public Map<String, Object> schema() {
            List<Object> values = new ArrayList<>();
            for (String name : bySpelling.keySet()) {
                values.add(name.equals("true") || name.equals("false") ? (Object) Boolean.valueOf(name) : name);
            }
            return new LinkedHashMap<>(Map.of("enum", values));
        }

        private static Field field(Class<?> type, Enum<?> constant) {
            try {
                return type.getField(constant.name());
            } catch (NoSuchFieldException e) {
                throw new IllegalStateException(e);
            }
        }
    }

    /** {@code ~/x} in the user's home; anything else as it is. */
    static String atHome(String path) {
        return path.startsWith("~/") ? System.getProperty("user.home") + path.substring(1) : path;
    }

    /** The text of a scalar, whatever its tag, or null. */
    static String textOf(Node node) {
        return node instanceof ScalarNode scalar ? scalar.getValue() : null;
    }

    /** Text that is not empty, or null with the problem reported. */
    static String text(ValueType type, Node node, String key, Report report) {
        String text = textOf(node);
        if (text != null && node.getTag().equals(Tag.STR)) {
            if (text.isBlank()) {
                report.add(node, key, "expected " + type.expected() + "; got empty text");
                return null;
            }
            return text;
        }
        String quotes = text != null ? "; write it in quotes" : "; write it in quotes if it begins with { or [";
        type.wrong(node, key, report, YamlText.isNull(node) ? nullHint(node) : quotes);
        return null;
    }

    private static String nullHint(Node node) {
        return YamlText.isNull(node) ? NULL_HINT : "";
    }

    private static BigInteger whole(String text) {
        if (text.length() > 40) {
            throw new NumberFormatException("too long for any number of ours");
        }
        if (text.startsWith("0x")) {
            return new BigInteger(text.substring(2), 16);
        }
        return text.startsWith("0o") ? new BigInteger(text.substring(2), 8) : new BigInteger(text);
    }

    private static String numberHint(Node node, boolean whole) {
        String text = textOf(node);
        if (text == null || text.length() > 40 || YamlText.isNull(node)) {
            return nullHint(node);
        }
        try {
            BigDecimal value =
                    new BigDecimal(text.replace("_", "").replace(",", "").strip());
            if (Math.abs((long) value.scale()) > 20 || value.precision() > 20) {
                return "";
            }
            boolean isWhole = value.stripTrailingZeros().scale() <= 0;
            boolean wrongForm =
                    node.getTag().equals(Tag.STR) || whole && node.getTag().equals(Tag.FLOAT);
            return wrongForm && (isWhole || !whole) ? "; write " + (isWhole ? value.toBigInteger() : value) : "";
        } catch (NumberFormatException e) {
            return "";
        }
    }
}
