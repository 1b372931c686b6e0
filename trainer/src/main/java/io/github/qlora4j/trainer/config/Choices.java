package io.github.qlora4j.trainer.config;

import io.github.qlora4j.peft.PythonRegex;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.Nearest;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.PatternSyntaxException;
import org.snakeyaml.engine.v2.nodes.MappingNode;
import org.snakeyaml.engine.v2.nodes.Node;
import org.snakeyaml.engine.v2.nodes.ScalarNode;
import org.snakeyaml.engine.v2.nodes.SequenceNode;

/** Values whose kind depends on how they are written. */
final class Choices {

    static final String ALL_LINEAR = "all-linear";

    private Choices() {}

    /** {@link TargetModules}: a list, a regular expression, {@code all-linear}, or null. */
    record Targets() implements ValueType {
        @Override
        public String expected() {
            return "a list of module names, a regular expression, all-linear or null";
        }

        @Override
        public Object read(Node node, String key, Report report) {
            if (node instanceof SequenceNode sequence) {
                if (sequence.getValue().isEmpty()) {
                    report.add(node, key, "expected at least one module name; got an empty list");
                    return null;
                }
                Object names = new ListsAndMaps.ListOf(new Scalars.Text()).read(node, key, report);
                return names instanceof List<?> list
                        ? new TargetModules.Names(
                                list.stream().map(String.class::cast).toList())
                        : null;
            }
            String text = Scalars.text(this, node, key, report);
            if (text == null) {
                return null;
            }
            if (text.equals(ALL_LINEAR)) {
                return new TargetModules.AllLinear();
            }
            if (Nearest.plain(text).equals(Nearest.plain(ALL_LINEAR))) {
                return wrong(node, key, report, "; did you mean " + ALL_LINEAR + "?");
            }
            try {
                // read as peft reads it: Python's (?P<name>…) is understood
                new io.github.qlora4j.peft.TargetModules.Regex(text);
                return new TargetModules.Regex(text);
            } catch (QloraException e) {
                String why = e.getCause() instanceof PatternSyntaxException p ? p.getDescription() : e.getMessage();
                report.add(node, key, "not a regular expression: " + why + "; got " + Found.in(node));
                return null;
            }
        }

        @Override
        public Object none() {
            return new TargetModules.ModelDefault();
        }

        @Override
        public Map<String, Object> schema() {
            Map<String, Object> list = new LinkedHashMap<>();
            list.put("type", "array");
            list.put("items", new Scalars.Text().schema());
            list.put("minItems", 1);
            return new LinkedHashMap<>(Map.of("anyOf", List.of(new Scalars.Text().schema(), list)));
        }
    }

    /** {@link ModuleNames}: a list of names and regular expressions, which may be empty. */
    record Modules() implements ValueType {

        private static final ListsAndMaps.ListOf LIST = new ListsAndMaps.ListOf(new Scalars.Text());

        @Override
        public String expected() {
            return LIST.expected();
        }

        @Override
        public Object read(Node node, String key, Report report) {
            if (!(LIST.read(node, key, report) instanceof List<?> list)) {
                return null;
            }
            List<String> names = list.stream().map(String.class::cast).toList();
            try {
                names.forEach(name -> PythonRegex.compile(name, "a name"));
                return new ModuleNames(names);
            } catch (QloraException e) {
                report.add(node, key, e.getMessage());
                return null;
            }
        }

        @Override
        public Map<String, Object> schema() {
            return LIST.schema();
        }
    }

    /** {@link TemplateChoice}: a name, or a map. */
    record Template() implements ValueType {

        private static final Scalars.OneOf NAMES = Scalars.OneOf.of(BuiltinTemplate.class);
        private static final RecordType CUSTOM = new RecordType(TemplateChoice.Custom.class);

        @Override
        public String expected() {
            return NAMES.expected() + ", or a map of your own template";
        }

        @Override
        public Object read(Node node, String key, Report report) {
            if (node instanceof ScalarNode && !YamlText.isNull(node)) {
                Object constant = NAMES.bySpelling().get(Scalars.textOf(node));
                return constant != null
                        ? new TemplateChoice.Named((BuiltinTemplate) constant)
                        : wrong(
                                node,
                                key,
                                report,
                                Nearest.hint(
                                        Scalars.textOf(node), NAMES.byName().keySet()));
            }
            if (!(node instanceof MappingNode)) {
                return wrong(node, key, report, "");
            }
            TemplateChoice.Custom custom = (TemplateChoice.Custom) CUSTOM.read(node, key, report);
            if (!report.isBad(key)) {
                Placeholders.check(custom, (part, text) -> report.add(node, key + "." + part, text));
            }
            return custom;
        }

        @Override
        public Map<String, Object> schema() {
            return new LinkedHashMap<>(Map.of("anyOf", List.of(NAMES.schema(), CUSTOM.schema())));
        }
    }
}
