package io.github.qlora4j.trainer.config;

import io.github.qlora4j.quant.internal.Reason;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import org.snakeyaml.engine.v2.nodes.MappingNode;
import org.snakeyaml.engine.v2.nodes.Node;
import org.snakeyaml.engine.v2.nodes.NodeTuple;

/**
 * Reads a run's YAML file.
 *
 * <pre>{@code
 * RunConfig config = ConfigFile.load(Path.of("run.yaml"), List.of("training.max_steps=10")).config();
 * }</pre>
 */
public final class ConfigFile {

    /** A configuration is a page of text; what is larger is something else. */
    private static final int MOST_BYTES = 1 << 20;

    private ConfigFile() {}

    /**
     * Reads a file.
     *
     * @param file UTF-8, YAML 1.2
     * @param sets {@code section.key=value} each, set over the file in order; the value is YAML
     * @throws ConfigException with every problem and its place
     */
    public static LoadedConfig load(Path file, List<String> sets) {
        return parse(text(file), name(file), sets);
    }

    /**
     * Reads a text.
     *
     * @param name what to call it in messages
     * @param sets as in {@link #load}
     * @throws ConfigException with every problem and its place
     */
    public static LoadedConfig parse(String text, String name, List<String> sets) {
        String body = text.startsWith("\uFEFF") ? text.substring(1) : text;
        return bind(YamlText.compose(body, name), name, sets);
    }

    /** Reads nodes. */
    static LoadedConfig bind(Node file, String name, List<String> sets) {
        Report report = new Report();
        if (!(file instanceof MappingNode) && !YamlText.isNull(file)) {
            new RecordType(RunConfig.class).wrong(file, "", report, "");
            report.throwIfAny();
        }
        Node root = Overrides.apply(file, sets, report);
        if (YamlText.isNull(root)) {
            report.add(name, "", "empty; expected at least model.path and data.train");
        }
        report.throwIfAny();
        List<Object> sections = new RecordType(RunConfig.class).values(root, "", report);
        Rules.check(
                (ModelSection) sections.get(0),
                (QuantizationSection) sections.get(1),
                (LoraSection) sections.get(2),
                (DataSection) sections.get(3),
                (TrainingSection) sections.get(4),
                (keys, text) -> {
                    if (keys.stream().noneMatch(report::isBad)) {
                        report.add(written(keys, root), keys.get(0), text);
                    }
                });
        report.throwIfAny();
        return new LoadedConfig((RunConfig) Keys.of(RunConfig.class).make(sections), report.explicit(), name);
    }

    /** The first of the keys that was written; the file where none was. */
    private static Node written(List<String> keys, Node root) {
        for (String key : keys) {
            Node node = root;
            for (String name : key.split("\\.")) {
                node = tupleOf(node, name) == null ? null : tupleOf(node, name).getValueNode();
                if (node == null) {
                    break;
                }
            }
            if (node != null) {
                return node;
            }
        }
        return root;
    }

    private static NodeTuple tupleOf(Node node, String name) {
        return node instanceof MappingNode map
                ? map.getValue().stream()
                        .filter(t -> name.equals(Scalars.textOf(t.getKeyNode())))
                        .findFirst()
                        .orElse(null)
                : null;
    }

    private static String text(Path file) {
        byte[] bytes;
        try (InputStream in = Files.newInputStream(file)) {
            bytes = in.readNBytes(MOST_BYTES + 1);
        } catch (NoSuchFileException e) {
            throw wrong(file, "there is no such file (looked in " + Path.of("").toAbsolutePath() + ")");
        } catch (AccessDeniedException e) {
            throw wrong(file, "this file may not be read");
        } catch (IOException e) {
            throw wrong(
                    file,
                    Files.isDirectory(file)
                            ? "this is a directory; expected a YAML file"
                            : "cannot be read: " + Reason.of(e));
        }
        if (bytes.length > MOST_BYTES) {
            throw wrong(file, "larger than 1 MiB; this is not a configuration");
        }
        ByteBuffer buffer = ByteBuffer.wrap(bytes);
        try {
            return StandardCharsets.UTF_8.newDecoder().decode(buffer).toString();
        } catch (CharacterCodingException e) {
            String before = new String(bytes, 0, buffer.position(), StandardCharsets.UTF_8);
            int line = 1 + (int) before.chars().filter(c -> c == '\n').count();
            int start = before.lastIndexOf('\n') + 1;
            int column = 1 + before.codePointCount(start, before.length());
            String place = name(file) + ":" + line + ":" + column;
            throw wrong(
                    place,
                    String.format(
                            "not UTF-8: the byte 0x%02X is not text; save the file as UTF-8",
                            bytes[buffer.position()]));
        }
    }

    private static ConfigException wrong(Path file, String text) {
        return wrong(name(file), text);
    }

    private static ConfigException wrong(String place, String text) {
        return new ConfigException(List.of(new Problem(place, "", text)));
    }

    /** A file's name on one line; an empty one is seen. */
    private static String name(Path file) {
        String name = Found.shown(file.toString(), 4096);
        return name.isEmpty() ? "\"\"" : name;
    }
}
