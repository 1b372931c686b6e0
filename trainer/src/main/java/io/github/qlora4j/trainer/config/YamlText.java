package io.github.qlora4j.trainer.config;

import java.util.List;
import java.util.Optional;
import org.snakeyaml.engine.v2.api.LoadSettings;
import org.snakeyaml.engine.v2.api.lowlevel.Compose;
import org.snakeyaml.engine.v2.common.ScalarStyle;
import org.snakeyaml.engine.v2.exceptions.Mark;
import org.snakeyaml.engine.v2.exceptions.MarkedYamlEngineException;
import org.snakeyaml.engine.v2.exceptions.ReaderException;
import org.snakeyaml.engine.v2.exceptions.YamlEngineException;
import org.snakeyaml.engine.v2.nodes.Node;
import org.snakeyaml.engine.v2.nodes.ScalarNode;
import org.snakeyaml.engine.v2.nodes.Tag;
import org.snakeyaml.engine.v2.schema.CoreSchema;

/** YAML 1.2 text to nodes, which know their line and column. Nothing in the text is executed. */
final class YamlText {

    /** The prefix of a label that names an option, not a file, and so has no lines. */
    static final String OPTION = "--set ";

    private static final int MOST_ALIASES = 50;

    private YamlText() {}

    static boolean isFile(String label) {
        return !label.isEmpty() && !label.startsWith(OPTION);
    }

    /**
     * Reads one document; an empty one is a null node without a mark.
     *
     * @throws ConfigException with the place, where the text is not YAML
     */
    static Node compose(String text, String label) {
        LoadSettings settings = LoadSettings.builder()
                .setLabel(label)
                .setSchema(new CoreSchema())
                .setMaxAliasesForCollections(MOST_ALIASES)
                .setAllowNonScalarKeys(true)
                .build();
        try {
            return new Compose(settings).composeString(text).orElseGet(() -> nothing(Optional.empty()));
        } catch (MarkedYamlEngineException e) {
            String place = e.getProblemMark().map(Report::place).orElse(label);
            String context = e.getContext() == null || e.getContext().isBlank() ? "" : e.getContext() + ", ";
            throw wrong(
                    place, "this is not YAML: " + Found.shown(context + e.getProblem(), 300) + remedy(text, e, label));
        } catch (ReaderException e) {
            throw wrong(
                    place(text, e.getPosition(), label),
                    String.format("this is not YAML: the character U+%04X may not stand here", e.getCodePoint()));
        } catch (YamlEngineException e) {
            // thrown without a mark, and with no class of its own
            throw wrong(
                    label,
                    String.valueOf(e.getMessage()).startsWith("Number of aliases")
                            ? "more than " + MOST_ALIASES + " aliases (*name) of lists and maps; write the values out"
                            : "this is not YAML: " + firstLine(e.getMessage()));
        } catch (StackOverflowError e) {
            throw wrong(label, "this YAML is nested too deeply");
        }
    }

    /** An absent value, as {@code key:} with nothing behind it. */
    static ScalarNode nothing(Optional<Mark> mark) {
        return new ScalarNode(Tag.NULL, true, "", ScalarStyle.PLAIN, mark, mark);
    }

    static boolean isNull(Node node) {
        return node.getTag().equals(Tag.NULL);
    }

    /** Nothing was written, not even {@code null}. */
    static boolean isEmpty(Node node) {
        return isNull(node)
                && node instanceof ScalarNode scalar
                && scalar.getValue().isEmpty();
    }

    private static String remedy(String text, MarkedYamlEngineException e, String label) {
        if (!isFile(label)) {
            return "; put quotes around the value if it is text";
        }
        int line = e.getProblemMark().map(Mark::getLine).orElse(-1);
        String[] lines = text.split("\\R", -1);
        return line >= 0 && line < lines.length && lines[line].stripTrailing().contains("\t")
                ? "; YAML is indented with spaces, and this line has a tab"
                : "";
    }

    private static String place(String text, int position, String label) {
        if (!isFile(label)) {
            return label;
        }
        int line = 1;
        int column = 1;
        int end = text.offsetByCodePoints(0, Math.max(0, Math.min(position, text.codePointCount(0, text.length()))));
        for (int i = 0; i < end; i++) {
            if (text.charAt(i) == '\n') {
                line++;
                column = 1;
            } else if (!Character.isLowSurrogate(text.charAt(i))) {
                column++;
            }
        }
        return label + ":" + line + ":" + column;
    }

    private static String firstLine(String message) {
        return message == null ? "unreadable" : message.lines().findFirst().orElse("unreadable");
    }

    private static ConfigException wrong(String place, String text) {
        return new ConfigException(List.of(new Problem(place, "", text)));
    }
}
