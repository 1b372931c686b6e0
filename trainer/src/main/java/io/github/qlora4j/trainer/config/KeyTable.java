package io.github.qlora4j.trainer.config;

/** The table of keys in the documentation; made of the records. */
public final class KeyTable {

    private KeyTable() {}

    /** The keys of every section with default, values and meaning, as Markdown. */
    public static String markdown() {
        StringBuilder out = new StringBuilder();
        for (Keys.Entry section : Keys.of(RunConfig.class).entries()) {
            out.append("## `").append(section.name()).append("`\n\n");
            out.append(section.key().value()).append("\n\n");
            out.append("| key | default | values | meaning |\n| --- | --- | --- | --- |\n");
            rows(out, "", (RecordType) section.type());
            out.append('\n');
        }
        return out.toString();
    }

    private static void rows(StringBuilder out, String prefix, RecordType section) {
        for (Keys.Entry entry : Keys.of(section.type()).entries()) {
            if (entry.type() instanceof RecordType nested) {
                rows(out, prefix + entry.name() + ".", nested);
                continue;
            }
            String fallback =
                    entry.key().required() ? "required" : "`" + entry.key().orElse() + "`";
            String values = entry.type().expected();
            out.append("| `").append(prefix).append(entry.name()).append("` | ").append(fallback);
            out.append(" | ").append(cell(values + (orNull(entry, values) ? ", or null" : "")));
            out.append(" | ").append(cell(entry.key().value())).append(" |\n");
        }
    }

    private static boolean orNull(Keys.Entry entry, String values) {
        return entry.nullable() && !values.contains("null");
    }

    private static String cell(String text) {
        return text.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_");
    }
}
