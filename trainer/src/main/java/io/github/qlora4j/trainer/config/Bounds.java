package io.github.qlora4j.trainer.config;

import java.math.BigDecimal;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/** The numbers a key takes; {@link Range} in a form that checks and describes. */
record Bounds(double min, double max, boolean aboveMin, boolean belowMax, List<Integer> oneOf) {

    static Bounds of(Range range) {
        return range == null
                ? new Bounds(Double.NEGATIVE_INFINITY, Double.POSITIVE_INFINITY, false, false, List.of())
                : new Bounds(
                        range.min(),
                        range.max(),
                        range.aboveMin(),
                        range.belowMax(),
                        Arrays.stream(range.oneOf()).boxed().toList());
    }

    boolean holds(double value) {
        if (!oneOf.isEmpty()) {
            return oneOf.stream().anyMatch(v -> v == value);
        }
        return Double.isFinite(value)
                && (aboveMin ? value > min : value >= min)
                && (belowMax ? value < max : value <= max);
    }

    /** For example {@code "a number of at least 0 and below 1"}. */
    String expected(String kind) {
        if (!oneOf.isEmpty()) {
            return "one of " + oneOf.stream().map(String::valueOf).collect(Collectors.joining(", "));
        }
        boolean low = min != Double.NEGATIVE_INFINITY;
        boolean high = max != Double.POSITIVE_INFINITY;
        String least = low ? (aboveMin ? " above " : " of at least ") + plain(min) : "";
        String most = high ? (low ? " and " : " ") + (belowMax ? "below " : "at most ") + plain(max) : "";
        return kind + least + most;
    }

    /** The bounds as JSON Schema's keywords. */
    Map<String, Object> schema(String type) {
        Map<String, Object> schema = new LinkedHashMap<>();
        schema.put("type", type);
        if (!oneOf.isEmpty()) {
            schema.put("enum", oneOf);
            return schema;
        }
        if (min != Double.NEGATIVE_INFINITY) {
            schema.put(aboveMin ? "exclusiveMinimum" : "minimum", number(min));
        }
        if (max != Double.POSITIVE_INFINITY) {
            schema.put(belowMax ? "exclusiveMaximum" : "maximum", number(max));
        }
        return schema;
    }

    private static Number number(double v) {
        return v == Math.rint(v) ? (Number) (long) v : (Number) v;
    }

    private static String plain(double v) {
        return v == Math.rint(v) ? String.valueOf((long) v) : new BigDecimal(String.valueOf(v)).toPlainString();
    }
}
