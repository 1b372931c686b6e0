package io.github.qlora4j.trainer.config;

import java.math.BigDecimal;
import java.math.RoundingMode;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** An amount of memory; in YAML {@code 6GB} (10⁹), {@code 512MiB} (2²⁰) or a plain number of bytes. */
public record MemorySize(long bytes) {

    private static final Pattern FORM =
            Pattern.compile("(\\d{1,18}(?:\\.\\d{1,6})?)\\s*([kmgt]i?b|b)?", Pattern.CASE_INSENSITIVE);
    private static final Map<String, Long> UNITS = Map.of(
            "b",
            1L,
            "kb",
            1_000L,
            "mb",
            1_000_000L,
            "gb",
            1_000_000_000L,
            "tb",
            1_000_000_000_000L,
            "kib",
            1L << 10,
            "mib",
            1L << 20,
            "gib",
            1L << 30,
            "tib",
            1L << 40);

    /** What a size must look like, for messages. */
    static final String EXPECTED = "a size such as 6GB, 512MiB or a number of bytes";

    /** Refuses what is not positive. */
    public MemorySize {
        if (bytes <= 0) {
            throw new IllegalArgumentException(EXPECTED + " above zero");
        }
    }

    /**
     * Reads a size.
     *
     * @throws IllegalArgumentException where the text is not one
     */
    public static MemorySize parse(String text) {
        Matcher m = FORM.matcher(text.strip());
        if (!m.matches()) {
            throw new IllegalArgumentException(EXPECTED);
        }
        long unit = m.group(2) == null ? 1 : UNITS.get(m.group(2).toLowerCase(Locale.ROOT));
        BigDecimal bytes =
                new BigDecimal(m.group(1)).multiply(BigDecimal.valueOf(unit)).setScale(0, RoundingMode.DOWN);
        if (bytes.compareTo(BigDecimal.valueOf(Long.MAX_VALUE)) > 0) {
            throw new IllegalArgumentException("a size below 8 EiB");
        }
        return new MemorySize(bytes.longValueExact());
    }

    /** The size in the largest unit that holds it exactly; {@link #parse} reads it back. */
    @Override
    public String toString() {
        for (String unit : new String[] {"TiB", "TB", "GiB", "GB", "MiB", "MB", "KiB", "KB"}) {
            long factor = UNITS.get(unit.toLowerCase(Locale.ROOT));
            if (bytes % factor == 0) {
                return bytes / factor + unit;
            }
        }
        return bytes + "B";
    }
}
