package io.github.qlora4j.trainer.report;

import java.util.Locale;

/** How numbers are written for people, the same in every locale. */
public final class Figures {
    private Figures() {}

    /** Bytes in decimal units, as in {@code 174 MB} and {@code 1.06 GB}. */
    public static String bytes(long bytes) {
        if (bytes < 1000) {
            return bytes + " B";
        }
        double value = bytes;
        String unit = "";
        for (String next : new String[] {"kB", "MB", "GB", "TB", "PB"}) {
            unit = next;
            value /= 1000;
            if (value < 999.5) {
                break;
            }
        }
        return String.format(
                Locale.ROOT, value < 9.995 ? "%.2f %s" : value < 99.95 ? "%.1f %s" : "%.0f %s", value, unit);
    }

    /** A count with commas, as in {@code 4,194,304}. */
    public static String count(long count) {
        return String.format(Locale.ROOT, "%,d", count);
    }

    /** Seconds as {@code 0:07}, {@code 12:40} or {@code 3:02:15}. */
    public static String duration(double seconds) {
        long whole = Math.round(seconds);
        return whole < 3600
                ? String.format(Locale.ROOT, "%d:%02d", whole / 60, whole % 60)
                : String.format(Locale.ROOT, "%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60);
    }

    /** A number with this many digits behind the point. */
    public static String decimal(double value, int digits) {
        return String.format(Locale.ROOT, "%." + digits + "f", value);
    }

    /** The line that peft's {@code print_trainable_parameters} prints. */
    public static String trainable(long trainable, long all) {
        return String.format(
                Locale.ROOT,
                "trainable params: %,d || all params: %,d || trainable%%: %.4f",
                trainable,
                all,
                all == 0 ? 0.0 : 100.0 * trainable / all);
    }
}
