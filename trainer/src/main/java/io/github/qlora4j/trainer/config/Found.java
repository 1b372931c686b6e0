package io.github.qlora4j.trainer.config;

import org.snakeyaml.engine.v2.nodes.MappingNode;
import org.snakeyaml.engine.v2.nodes.Node;
import org.snakeyaml.engine.v2.nodes.ScalarNode;
import org.snakeyaml.engine.v2.nodes.Tag;

/** Names what stands in a file, for the end of "got …". */
final class Found {

    private static final int SHOWN = 60;

    private Found() {}

    static String in(Node node) {
        if (node instanceof ScalarNode scalar) {
            if (YamlText.isEmpty(node)) {
                return "nothing";
            }
            boolean text = scalar.getTag().equals(Tag.STR);
            return text ? "\"" + shown(scalar.getValue()) + "\"" : shown(scalar.getValue());
        }
        return node instanceof MappingNode ? "a map" : "a list";
    }

    /** The text on one line, cut where it is long. */
    static String shown(String text) {
        return shown(text, SHOWN);
    }

    /** The text on one line, cut after so many characters. */
    static String shown(String text, int most) {
        StringBuilder out = new StringBuilder();
        text.codePoints().limit(most).forEach(c -> {
            if (Character.isISOControl(c)) {
                out.append(c == '\n' ? "\\n" : c == '\t' ? "\\t" : String.format("\\u%04x", c));
            } else {
                out.appendCodePoint(c);
            }
        });
        return text.codePointCount(0, text.length()) > most ? out + "…" : out.toString();
    }
}
