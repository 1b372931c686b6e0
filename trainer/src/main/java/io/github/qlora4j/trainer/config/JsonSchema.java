package io.github.qlora4j.trainer.config;

import com.google.gson.GsonBuilder;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.snakeyaml.engine.v2.nodes.MappingNode;
import org.snakeyaml.engine.v2.nodes.Node;
import org.snakeyaml.engine.v2.nodes.NodeTuple;
import org.snakeyaml.engine.v2.nodes.SequenceNode;
import org.snakeyaml.engine.v2.nodes.Tag;

/** The JSON Schema of a configuration file, for editors; made of the records. */
public final class JsonSchema {

    private JsonSchema() {}

    /** The schema (draft 7) as text. */
    public static String generate() {
        Map<String, Object> schema = new LinkedHashMap<>();
        schema.put("$schema", "http://json-schema.org/draft-07/schema#");
        schema.put("title", "qlora4j run");
        schema.putAll(new RecordType(RunConfig.class).schema());
        schema.put("required", List.of("model", "data"));
        return new GsonBuilder()
                        .setPrettyPrinting()
                        .disableHtmlEscaping()
                        .serializeNulls()
                        .create()
                        .toJson(schema)
                + "\n";
    }

    /** The schema of one key: its values, meaning and default. */
    static Map<String, Object> property(Keys.Entry entry) {
        Map<String, Object> property = new LinkedHashMap<>();
        property.put("description", entry.key().value());
        Map<String, Object> values = entry.type().schema();
        if (entry.nullable()) {
            property.put("anyOf", List.of(values, Map.of("type", "null")));
        } else {
            property.putAll(values);
        }
        if (!entry.key().required() && (entry.nullable() || !(entry.type() instanceof RecordType))) {
            property.put("default", json(YamlText.compose(entry.key().orElse(), "default")));
        }
        return property;
    }

    private static Object json(Node node) {
        if (node instanceof SequenceNode list) {
            List<Object> items = new ArrayList<>();
            list.getValue().forEach(item -> items.add(json(item)));
            return items;
        } else if (node instanceof MappingNode map) {
            Map<String, Object> entries = new LinkedHashMap<>();
            for (NodeTuple tuple : map.getValue()) {
                entries.put(Scalars.textOf(tuple.getKeyNode()), json(tuple.getValueNode()));
            }
            return entries;
        }
        String text = Scalars.textOf(node);
        if (node.getTag().equals(Tag.NULL)) {
            return null;
        } else if (node.getTag().equals(Tag.BOOL)) {
            return Boolean.valueOf(text.toLowerCase(Locale.ROOT));
        } else if (node.getTag().equals(Tag.INT)) {
            return Long.valueOf(text);
        }
        return node.getTag().equals(Tag.FLOAT) ? (Object) Double.valueOf(text) : text;
    }
}
