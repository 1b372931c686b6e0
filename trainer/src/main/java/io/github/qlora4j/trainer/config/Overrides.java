package io.github.qlora4j.trainer.config;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.snakeyaml.engine.v2.common.FlowStyle;
import org.snakeyaml.engine.v2.common.ScalarStyle;
import org.snakeyaml.engine.v2.exceptions.Mark;
import org.snakeyaml.engine.v2.nodes.MappingNode;
import org.snakeyaml.engine.v2.nodes.Node;
import org.snakeyaml.engine.v2.nodes.NodeTuple;
import org.snakeyaml.engine.v2.nodes.ScalarNode;
import org.snakeyaml.engine.v2.nodes.Tag;

/** Sets single keys over a tree of nodes: {@code --set section.key=value}. */
final class Overrides {

    private Overrides() {}

    /** The tree with the options set over it, the last one winning; what is wrong goes to the report. */
    static Node apply(Node root, List<String> options, Report report) {
        Node tree = root;
        for (String option : options) {
            String label = YamlText.OPTION + Found.shown(option);
            int at = option.indexOf('=');
            String key = at < 0 ? "" : option.substring(0, at).strip();
            if (key.isEmpty() || key.startsWith(".") || key.endsWith(".") || key.contains("..")) {
                report.add(label, "", "expected section.key=value, such as training.max_steps=100");
                continue;
            }
            try {
                Node value = YamlText.compose(option.substring(at + 1), label);
                boolean given = value.getStartMark().isPresent();
                tree = set(tree, key, given ? value : YamlText.nothing(Optional.of(mark(label))), mark(label));
            } catch (ConfigException e) {
                e.problems().forEach(p -> report.add(p.place(), Found.shown(key), p.text()));
            }
        }
        return tree;
    }

    /** A copy of the tree with one key set; maps that are not there are made. Other than maps are replaced. */
    static Node set(Node tree, String key, Node value, Mark mark) {
        int dot = key.indexOf('.');
        String name = dot < 0 ? key : key.substring(0, dot);
        List<NodeTuple> tuples = tree instanceof MappingNode map ? map.getValue() : List.of();
        List<NodeTuple> copy = new ArrayList<>();
        boolean done = false;
        for (NodeTuple tuple : tuples) {
            if (!done && name.equals(Scalars.textOf(tuple.getKeyNode()))) {
                copy.add(new NodeTuple(keyNode(name, mark), below(tuple.getValueNode(), key, dot, value, mark)));
                done = true;
            } else {
                copy.add(tuple);
            }
        }
        if (!done) {
            Node empty = YamlText.nothing(Optional.of(mark));
            copy.add(new NodeTuple(keyNode(name, mark), below(empty, key, dot, value, mark)));
        }
        Optional<Mark> start = Optional.of(tree.getStartMark().orElse(mark));
        return new MappingNode(Tag.MAP, true, copy, FlowStyle.BLOCK, start, start);
    }

    private static Node below(Node old, String key, int dot, Node value, Mark mark) {
        return dot < 0 ? value : set(old, key.substring(dot + 1), value, mark);
    }

    private static Node keyNode(String name, Mark mark) {
        return new ScalarNode(Tag.STR, true, name, ScalarStyle.PLAIN, Optional.of(mark), Optional.of(mark));
    }

    static Mark mark(String label) {
        return new Mark(label, 0, 0, 0, new int[0], 0);
    }
}
