package io.github.qlora4j.quant.scheme;

import io.github.qlora4j.quant.QloraException;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Schemes by name: {@code absmax-int8:row}, {@code nf4-double}, {@code quantile4}. */
public final class SchemeNames {

    static final String DOUBLE = "-double";

    /** What a name can be, for messages and help. */
    public static final String KNOWN =
            "absmax-int2 to -int8, zeropoint-int2 to -int8, nf4, nf4-double, fp4, fp4-double,"
                    + " linear2 to 8, normal2 to 8, quantile2 to 8, dynamic2 to 8, e4m3, e5m2";

    private static final Pattern NAME = Pattern.compile("([a-z0-9-]+?)(?::([a-z0-9]+))?");
    private static final Pattern WITH_BITS =
            Pattern.compile("(absmax-int|zeropoint-int|normal|quantile|linear|dynamic)([2-8])(-double)?");
    private static final Granularity BLOCK = Granularity.block(64);
    private static final List<Granularity> ALL =
            List.of(Granularity.TENSOR, Granularity.ROW, Granularity.COLUMN, BLOCK);

    private SchemeNames() {}

    /** What is compared where nothing is asked for. */
    public static List<Scheme> standard() {
        List<String> names = new ArrayList<>(List.of("absmax", "zeropoint", "nf4", "nf4-double", "fp4", "fp4-double"));
        for (String code : List.of("linear", "normal", "quantile")) {
            for (int bits = 2; bits <= 8; bits++) {
                names.add(code + bits);
            }
        }
        names.add("dynamic8");
        return names.stream().flatMap(name -> parse(name).stream()).toList();
    }

    /**
     * The schemes of a name: one, or where a granularity could follow it and does not, those of all granularities for
     * integers and of blocks of 64 for codes. {@code absmax} and {@code zeropoint} are their 8 bits.
     *
     * @throws QloraException if there is no such scheme
     */
    public static List<Scheme> parse(String text) {
        Matcher parts = NAME.matcher(text);
        if (!parts.matches()) {
            throw unknown(text);
        }
        String name = parts.group(1).equals("absmax") || parts.group(1).equals("zeropoint")
                ? parts.group(1) + "-int8"
                : parts.group(1);
        if (parts.group(2) != null) {
            return List.of(scheme(text, name, Granularity.parse(parts.group(2))));
        }
        boolean integers = name.startsWith("absmax-") || name.startsWith("zeropoint-");
        return (integers ? ALL : List.of(BLOCK))
                .stream().map(granularity -> scheme(text, name, granularity)).toList();
    }

    private static Scheme scheme(String text, String name, Granularity granularity) {
        boolean nested = name.endsWith(DOUBLE);
        switch (nested ? name.substring(0, name.length() - DOUBLE.length()) : name) {
            case "nf4":
                return new Coded(Code.nf4(), granularity, nested);
            case "fp4":
                return new Coded(Code.fp4(), granularity, nested);
            case "e4m3":
                return new Coded(Code.fp8(true, 4, 3), granularity, nested);
            case "e5m2":
                return new Coded(Code.fp8(true, 5, 2), granularity, nested);
            default:
                break;
        }
        Matcher parts = WITH_BITS.matcher(name);
        if (!parts.matches()) {
            throw unknown(text);
        }
        int bits = Integer.parseInt(parts.group(2));
        return switch (parts.group(1)) {
            case "linear" -> new Coded(Code.linear(true, bits, true), granularity, nested);
            case "normal" -> new Coded(Code.normal(bits), granularity, nested);
            case "dynamic" -> new Coded(Code.dynamic(true, bits - 1, bits), granularity, nested);
            default -> {
                if (nested) {
                    throw new QloraException(
                            "scheme " + text + ": double quantization goes with a fixed code, such as nf4-double");
                }
                yield switch (parts.group(1)) {
                    case "absmax-int" -> new Absmax(bits, granularity);
                    case "zeropoint-int" -> new ZeroPoint(bits, granularity);
                    default -> new OwnQuantiles(bits, granularity);
                };
            }
        };
    }

    private static QloraException unknown(String text) {
        return new QloraException("scheme " + text + " is not known; expected one of " + KNOWN
                + ", each with or without :tensor, :row, :column or :block64 behind it");
    }
}
