package io.github.qlora4j.trainer.config;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.snakeyaml.engine.v2.exceptions.Mark;
import org.snakeyaml.engine.v2.nodes.Node;

/** Collects the problems of one configuration while it is read. */
final class Report {

    /** A problem and where it stands, for the order; what is not in a file comes first. */
    private record Placed(int line, int column, Problem problem) {}

    private final List<Placed> problems = new ArrayList<>();
    private final Set<String> badKeys = new HashSet<>();
    private final Set<String> poisoned = new HashSet<>();
    private final Set<String> explicit = new HashSet<>();

    /** Adds a problem with the value at a node. */
    void add(Node at, String key, String text) {
        Optional<Mark> mark = at.getStartMark().filter(m -> YamlText.isFile(m.getName()));
        add(mark.map(Mark::getLine).orElse(-1), mark.map(Mark::getColumn).orElse(-1), place(at), key, text);
    }

    void add(String place, String key, String text) {
        add(-1, -1, place, key, text);
    }

    private void add(int line, int column, String place, String key, String text) {
        problems.add(new Placed(line, column, new Problem(place, key, text)));
        badKeys.add(key);
    }

    /** Notes that the user wrote this key. */
    void wrote(String key) {
        explicit.add(key);
    }

    Set<String> explicit() {
        return explicit;
    }

    /** The section as a whole is wrong: its keys are not looked for. */
    void poison(String section) {
        poisoned.add(section);
    }

    boolean isPoisoned(String key) {
        return poisoned.stream().anyMatch(section -> key.startsWith(section + "."));
    }

    /** The key, or one below it, has a problem already. */
    boolean isBad(String key) {
        return isPoisoned(key) || badKeys.stream().anyMatch(k -> k.equals(key) || k.startsWith(key + "."));
    }

    /** In the order of the file. */
    List<Problem> problems() {
        return problems.stream()
                .sorted(Comparator.comparingInt(Placed::line).thenComparingInt(Placed::column))
                .map(Placed::problem)
                .toList();
    }

    void throwIfAny() {
        if (!problems.isEmpty()) {
            throw new ConfigException(problems());
        }
    }

    /** Where a node stands: {@code FILE:LINE:COLUMN}, or the name alone of what is not a file. */
    static String place(Node node) {
        return node.getStartMark().map(Report::place).orElse("");
    }

    static String place(Mark mark) {
        return YamlText.isFile(mark.getName())
                ? mark.getName() + ":" + (mark.getLine() + 1) + ":" + (mark.getColumn() + 1)
                : mark.getName();
    }
}
