package io.github.qlora4j.trainer.config;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.snakeyaml.engine.v2.nodes.MappingNode;
import org.snakeyaml.engine.v2.nodes.Node;
import org.snakeyaml.engine.v2.nodes.NodeTuple;
import org.snakeyaml.engine.v2.nodes.ScalarNode;
import org.snakeyaml.engine.v2.nodes.SequenceNode;

/** Values of several: lists and maps. */
final class ListsAndMaps {

    private ListsAndMaps() {}

    /** A list; one element may stand alone. */
    record ListOf(ValueType element) implements ValueType {
        @Override
        public String expected() {
            return element.expected() + ", or a list of them";
        }

        @Override
        public Object read(Node node, String key, Report report) {
            if (YamlText.isNull(node)) {
                return wrong(node, key, report, "; leave the key out for its default");
            }
            List<Object> values = new ArrayList<>();
            if (node instanceof SequenceNode sequence) {
                for (Node each : sequence.getValue()) {
                    values.add(element.read(each, key, report));
                }
            } else if (node instanceof ScalarNode) {
                values.add(element.read(node, key, report));
            } else {
                return wrong(node, key, report, "");
            }
            return values.contains(null) ? null : values;
        }

        @Override
        public Object none() {
            return List.of();
        }

        @Override
        public Object standIn() {
            return List.of("-");
        }

        @Override
        public Map<String, Object> schema() {
            Map<String, Object> list = new LinkedHashMap<>();
            list.put("type", "array");
            list.put("items", element.schema());
            return new LinkedHashMap<>(Map.of("anyOf", List.of(element.schema(), list)));
        }
    }

    /** A map from names to values. */
    record MapOf(ValueType element) implements ValueType {
        @Override
        public String expected() {
            return "a map from a name to " + element.expected();
        }

        @Override
        public Object read(Node node, String key, Report report) {
            if (!(node instanceof MappingNode mapping)) {
                return wrong(node, key, report, "");
            }
            Map<String, Object> values = new LinkedHashMap<>();
            for (NodeTuple tuple : mapping.getValue()) {
                Object name = new Scalars.Text().read(tuple.getKeyNode(), key, report);
                Object value = element.read(tuple.getValueNode(), key, report);
                if (name != null && values.containsKey(name)) {
                    report.add(tuple.getKeyNode(), key, "given twice: " + Found.in(tuple.getKeyNode()));
                }
                values.put((String) name, value);
            }
            return values.containsKey(null) || values.containsValue(null) ? null : values;
        }

        @Override
        public Object none() {
            return Map.of();
        }

        @Override
        public Map<String, Object> schema() {
            Map<String, Object> schema = new LinkedHashMap<>();
            schema.put("type", "object");
            schema.put("additionalProperties", element.schema());
            return schema;
        }
    }
}
