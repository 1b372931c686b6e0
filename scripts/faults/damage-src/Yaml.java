package damage;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/** Damages a YAML text line by line. No value leads out of the directory. */
final class Yaml {

    private static final List<String> VALUES = List.of(
            "", "~", "null", "true", "no", "0", "-1", "1", "0.5", "65536", "1048577", "2147483648", "9223372036854775808", "1e400",
            "1e-400", ".nan", "-.inf", ".inf", "0x1F", "0o17", "1_000", "12:30:45", "2001-01-01", "'x'", "\"\"", "\" \"", "\"\\0\"",
            "\"\\u001b[2J\"", "[]", "{}", "[[]]", "[a, a]", "{a: 1}", "{a: 1, a: 2}", "[", "}", "&a [*a]", "*nothing", "!!int x", "!!binary aGk=",
            "!!python/object:os.system ls", "!!java.net.URL [x]", "|", ">-", "|\n    text", "- a", "? a", "@x", "`x`", "%x", "#", "a: b",
            "1MB", "1e30GB", "-1GB", "99999999999999999999TB", "rows.jsonl", "models", "models/llama", "*.json", "**", "[", "{a,b", "(", "*",
            "x".repeat(100_000), "9".repeat(5000), "adamw_8bit", "linear", "auto", "all-linear", "float16", "fp4", "text", "tokenized", "alpaca",
            "[".repeat(5000), "\"" + "(".repeat(50000) + "\"", "(a*)*b", "{a: ".repeat(5000), "[" + "x, ".repeat(20000) + "x]");

    private Yaml() {}

    static Bytes.Damaged damage(byte[] whole, SplittableRandom random) {
        if (random.nextInt(4) == 0) {
            return Bytes.of(whole, random);
        }
        List<String> lines = new ArrayList<>(new String(whole, StandardCharsets.UTF_8).lines().toList());
        int at = random.nextInt(lines.size());
        String line = lines.get(at);
        String value = VALUES.get(random.nextInt(VALUES.size()));
        String what;
        switch (random.nextInt(12)) {
            case 0 -> {
                lines.remove(at);
                what = "removed";
            }
            case 1 -> {
                lines.add(at, line);
                what = "stands twice";
            }
            case 2 -> {
                lines.set(at, (random.nextBoolean() ? " " : "\t") + line);
                what = "indented further";
            }
            case 3 -> {
                lines.set(at, line.strip());
                what = "not indented";
            }
            case 4 -> {
                lines.set(at, line.replaceFirst("_|r|a", ""));
                what = "its key lacks a letter";
            }
            case 5 -> {
                String odd = List.of("---", "...", "<<: {a: 1}", "? [a, b]", "- x", "  : x", "%YAML 1.1", "\0", "\u0085", "=: 1", bomb())
                        .get(random.nextInt(11));
                lines.add(at, odd);
                what = "before it " + Json.shown(odd);
            }
            default -> {
                int colon = line.indexOf(':');
                lines.set(at, (colon < 0 ? line : line.substring(0, colon)) + ": " + value);
                what = "its value became " + Json.shown(value);
            }
        }
        String text = String.join("\n", lines) + "\n";
        return new Bytes.Damaged(text.getBytes(StandardCharsets.UTF_8), "line " + (at + 1) + " (" + Json.shown(line) + "): " + what);
    }

    /** Ten lists of ten of the list before it. */
    private static String bomb() {
        StringBuilder text = new StringBuilder("b0: &b0 [x]\n");
        for (int i = 1; i < 10; i++) {
            text.append("b").append(i).append(": &b").append(i).append(" [");
            text.append(("*b" + (i - 1) + ", ").repeat(10)).append("]\n");
        }
        return text.toString();
    }
}
