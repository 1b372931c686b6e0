package io.github.qlora4j.trainer.config;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.snakeyaml.engine.v2.nodes.MappingNode;
import org.snakeyaml.engine.v2.nodes.Node;
import org.snakeyaml.engine.v2.nodes.NodeTuple;

/** A map whose keys are the components of a record. */
record RecordType(Class<? extends Record> type) implements ValueType {

    @Override
    public String expected() {
        return "a map of " + String.join(", ", Keys.of(type).byName().keySet());
    }

    /**
     * Reads what is there and fills in the rest. Where a key is wrong its default stands in, so that the other keys can be
     * looked at too; the problem is in the report.
     */
    @Override
    public Object read(Node node, String path, Report report) {
        return Keys.of(type).make(values(node, path, report));
    }

    /** The values of the record's components. */
    List<Object> values(Node node, String path, Report report) {
        Map<String, Keys.Entry> known = Keys.of(type).byName();
        Map<String, NodeTuple> given = new LinkedHashMap<>();
        if (node instanceof MappingNode mapping) {
            for (NodeTuple tuple : mapping.getValue()) {
                String name = Scalars.textOf(tuple.getKeyNode());
                if (name == null || !known.containsKey(name)) {
                    Node at = tuple.getKeyNode();
                    report.add(
                            at, below(path, name == null ? "" : Found.shown(name)), Hints.unknown(name, path, known));
                } else if (given.putIfAbsent(name, tuple) != null) {
                    report.add(
                            tuple.getKeyNode(),
                            below(path, name),
                            "given twice; the first stands at "
                                    + Report.place(given.get(name).getKeyNode()));
                }
            }
        } else if (!YamlText.isNull(node)) {
            wrong(node, path, report, "");
            report.poison(path);
        }
        List<Object> values = new ArrayList<>();
        for (Keys.Entry entry : known.values()) {
            values.add(value(entry, given.get(entry.name()), node, below(path, entry.name()), report));
        }
        return values;
    }

    private static Object value(Keys.Entry entry, NodeTuple given, Node parent, String key, Report report) {
        boolean section = entry.type() instanceof RecordType;
        if (given != null && entry.key().required() && !section && YamlText.isNull(given.getValueNode())) {
            // not the types' own words, which advise to leave the key out for its default
            report.add(
                    given.getValueNode(),
                    key,
                    "expected " + entry.type().expected() + "; got " + Found.in(given.getValueNode()));
            return entry.type().standIn();
        }
        if (section && given != null && entry.nullable() && YamlText.isEmpty(given.getValueNode())) {
            report.add(given.getKeyNode(), key, "empty; write keys under it, or null, or leave it out");
        } else if (given != null) {
            report.wrote(key);
            Object value = entry.read(given.getValueNode(), key, report);
            if (value != null || entry.nullable() && YamlText.isNull(given.getValueNode())) {
                return value;
            }
        } else if (entry.key().required() && !report.isPoisoned(key)) {
            report.add(parent, key, "missing; expected " + entry.type().expected());
        }
        if (section && !entry.nullable() && given == null) {
            return entry.type().read(YamlText.nothing(parent.getStartMark()), key, report);
        }
        return entry.key().required() ? entry.type().standIn() : entry.fallback(key);
    }

    static String below(String path, String name) {
        return path.isEmpty() ? name : path + "." + name;
    }

    @Override
    public Map<String, Object> schema() {
        Map<String, Object> properties = new LinkedHashMap<>();
        List<String> required = new ArrayList<>();
        for (Keys.Entry entry : Keys.of(type).entries()) {
            properties.put(entry.name(), JsonSchema.property(entry));
            if (entry.key().required()) {
                required.add(entry.name());
            }
        }
        Map<String, Object> schema = new LinkedHashMap<>();
        schema.put("type", "object");
        schema.put("additionalProperties", false);
        schema.put("properties", properties);
        if (!required.isEmpty()) {
            schema.put("required", required);
        }
        return schema;
    }
}
