package io.github.qlora4j.trainer.config;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.snakeyaml.engine.v2.api.DumpSettings;
import org.snakeyaml.engine.v2.api.lowlevel.Present;
import org.snakeyaml.engine.v2.api.lowlevel.Serialize;
import org.snakeyaml.engine.v2.nodes.MappingNode;
import org.snakeyaml.engine.v2.nodes.Node;
import org.snakeyaml.engine.v2.nodes.NodeTuple;
import org.snakeyaml.engine.v2.schema.CoreSchema;

/** A configuration with every key written out: what a run leaves behind, and what two runs are compared by. */
public final class ResolvedYaml {

    private ResolvedYaml() {}

    /**
     * The YAML of a configuration. Reading it with {@link ConfigFile} gives an equal one.
     *
     * @param comments lines for the head of the file, without {@code #}
     */
    public static String write(RunConfig config, List<String> comments) {
        StringBuilder text = new StringBuilder();
        for (String comment : comments) {
            comment.lines().forEach(line -> text.append("# ").append(line).append('\n'));
        }
        return text.append(emit(Nodes.record(config))).toString();
    }

    /** The YAML of a configuration, without comments. */
    public static String write(RunConfig config) {
        return write(config, List.of());
    }

    /**
     * The keys in which two configurations differ, in the order of the file.
     *
     * @return empty where they are equal
     */
    public static List<Difference> diff(RunConfig before, RunConfig now) {
        Map<String, String> a = flat(before);
        Map<String, String> b = flat(now);
        Map<String, String> keys = new LinkedHashMap<>(a);
        keys.putAll(b);
        List<Difference> differences = new ArrayList<>();
        for (String key : keys.keySet()) {
            if (!Objects.equals(a.get(key), b.get(key))) {
                differences.add(new Difference(key, a.getOrDefault(key, "null"), b.getOrDefault(key, "null")));
            }
        }
        return differences;
    }

    /**
     * One key in which two configurations differ; the values are as in YAML.
     *
     * @param key with its section, such as {@code training.seed}
     */
    public record Difference(String key, String before, String now) {

        /** {@code training.seed: 42 → 43}. */
        @Override
        public String toString() {
            return key + ": " + before + " → " + now;
        }
    }

    private static Map<String, String> flat(RunConfig config) {
        Map<String, String> flat = new LinkedHashMap<>();
        for (NodeTuple section : Nodes.record(config).getValue()) {
            String name = Scalars.textOf(section.getKeyNode());
            if (section.getValueNode() instanceof MappingNode keys) {
                for (NodeTuple tuple : keys.getValue()) {
                    flat.put(name + "." + Scalars.textOf(tuple.getKeyNode()), inline(tuple.getValueNode()));
                }
            } else {
                flat.put(name, inline(section.getValueNode()));
            }
        }
        return flat;
    }

    /** A value on one line. */
    private static String inline(Node node) {
        return emit(node).strip().replaceAll("\\s*\\n\\s*", ", ");
    }

    private static String emit(Node node) {
        DumpSettings settings = DumpSettings.builder()
                .setSchema(new CoreSchema())
                .setSplitLines(false)
                .setBestLineBreak("\n")
                .build();
        return new Present(settings)
                .emitToString(new Serialize(settings).serializeOne(node).iterator());
    }
}
