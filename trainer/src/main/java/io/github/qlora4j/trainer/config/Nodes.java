package io.github.qlora4j.trainer.config;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.snakeyaml.engine.v2.common.FlowStyle;
import org.snakeyaml.engine.v2.common.ScalarStyle;
import org.snakeyaml.engine.v2.exceptions.Mark;
import org.snakeyaml.engine.v2.nodes.MappingNode;
import org.snakeyaml.engine.v2.nodes.Node;
import org.snakeyaml.engine.v2.nodes.NodeTuple;
import org.snakeyaml.engine.v2.nodes.ScalarNode;
import org.snakeyaml.engine.v2.nodes.SequenceNode;
import org.snakeyaml.engine.v2.nodes.Tag;

/** Java values to YAML nodes, such that reading the nodes gives the values back. */
final class Nodes {

    /** Of values that stand in no file. */
    static final Mark NOWHERE = Overrides.mark("");

    private static final Optional<Mark> MARK = Optional.of(NOWHERE);

    private Nodes() {}

    /**
     * The node of a value of the configuration.
     *
     * @throws IllegalArgumentException for a kind of value that no key has
     */
    static Node of(Object value) {
        if (value == null || value instanceof TargetModules.ModelDefault) {
            return scalar(Tag.NULL, "null");
        } else if (value instanceof Boolean) {
            return scalar(Tag.BOOL, value.toString());
        } else if (value instanceof Integer || value instanceof Long || value instanceof Short) {
            return scalar(Tag.INT, value.toString());
        } else if (value instanceof Double || value instanceof Float) {
            return scalar(Tag.FLOAT, number(((Number) value).doubleValue()));
        } else if (value instanceof Enum<?> constant) {
            String name = Scalars.OneOf.name(constant);
            return scalar(name.equals("true") || name.equals("false") ? Tag.BOOL : Tag.STR, name);
        } else if (value instanceof ModuleNames modules) {
            return of(modules.names());
        } else if (value instanceof TargetModules.Names names) {
            return of(names.names());
        } else if (value instanceof TargetModules.Regex regex) {
            return scalar(Tag.STR, regex.pattern());
        } else if (value instanceof TargetModules.AllLinear) {
            return scalar(Tag.STR, Choices.ALL_LINEAR);
        } else if (value instanceof DeviceMap.Planned planned) {
            return of(planned.strategy());
        } else if (value instanceof DeviceMap.Modules modules) {
            return of(
                    modules.devices().keySet().equals(Set.of(""))
                            ? modules.devices().get("")
                            : modules.devices());
        } else if (value instanceof Device device) {
            return device.isGpu() ? of(device.index()) : of(device.toString());
        } else if (value instanceof TemplateChoice.Named named) {
            return of(named.name());
        } else if (value instanceof MemorySize || value instanceof CharSequence || value instanceof Path) {
            return scalar(Tag.STR, value.toString());
        } else if (value instanceof Record section) {
            return record(section);
        } else if (value instanceof Map<?, ?> map) {
            List<NodeTuple> tuples = new ArrayList<>();
            map.forEach((k, v) -> tuples.add(new NodeTuple(of(k), of(v))));
            return mapping(tuples, tuples.isEmpty());
        } else if (value instanceof Iterable<?> list) {
            List<Node> items = new ArrayList<>();
            list.forEach(item -> items.add(of(item)));
            return new SequenceNode(Tag.SEQ, true, items, FlowStyle.FLOW, MARK, MARK);
        }
        throw new IllegalArgumentException(
                "no configuration key takes a " + value.getClass().getName());
    }

    /** The maps of a record, one key a component. */
    static MappingNode record(Record section) {
        List<NodeTuple> tuples = new ArrayList<>();
        for (Keys.Entry entry : Keys.of(section.getClass()).entries()) {
            tuples.add(new NodeTuple(of(entry.name()), of(entry.value(section))));
        }
        return mapping(tuples, false);
    }

    static MappingNode mapping(List<NodeTuple> tuples, boolean flow) {
        return new MappingNode(Tag.MAP, true, tuples, flow ? FlowStyle.FLOW : FlowStyle.BLOCK, MARK, MARK);
    }

    private static String number(double value) {
        if (Double.isNaN(value)) {
            return ".nan";
        }
        return Double.isInfinite(value)
                ? (value > 0 ? ".inf" : "-.inf")
                : Double.toString(value).toLowerCase(Locale.ROOT);
    }

    private static ScalarNode scalar(Tag tag, String text) {
        boolean odd = tag.equals(Tag.STR) && text.codePoints().anyMatch(c -> c < ' ' || c > '~');
        return new ScalarNode(tag, true, text, odd ? ScalarStyle.DOUBLE_QUOTED : ScalarStyle.PLAIN, MARK, MARK);
    }
}
