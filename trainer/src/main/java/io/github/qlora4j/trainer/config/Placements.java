package io.github.qlora4j.trainer.config;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.snakeyaml.engine.v2.nodes.MappingNode;
import org.snakeyaml.engine.v2.nodes.Node;
import org.snakeyaml.engine.v2.nodes.NodeTuple;
import org.snakeyaml.engine.v2.nodes.ScalarNode;
import org.snakeyaml.engine.v2.nodes.Tag;

/** Values that say where the base lies. */
final class Placements {

    private Placements() {}

    /** A {@link Device}. */
    record DeviceName() implements ValueType {
        @Override
        public String expected() {
            return Device.EXPECTED;
        }

        @Override
        public Object read(Node node, String key, Report report) {
            try {
                if (node.getTag().equals(Tag.STR) || node.getTag().equals(Tag.INT)) {
                    return Device.parse(String.valueOf(Scalars.textOf(node)));
                }
            } catch (IllegalArgumentException e) {
                // said below
            }
            return wrong(node, key, report, "");
        }

        @Override
        public Map<String, Object> schema() {
            Map<String, Object> schema = new LinkedHashMap<>();
            schema.put("type", List.of("string", "integer"));
            schema.put("pattern", "^(cpu|disk|(cuda:)?\\d{1,4})$");
            schema.put("minimum", 0);
            return schema;
        }
    }

    /** A {@link DeviceMap}: a strategy, one device for all, or a map from modules to devices. */
    record DeviceMapType() implements ValueType {

        private static final Scalars.OneOf STRATEGIES = Scalars.OneOf.of(DeviceMap.Strategy.class);

        @Override
        public String expected() {
            return "auto, cpu, disk, or a map from a module's name to " + Device.EXPECTED;
        }

        @Override
        public Object read(Node node, String key, Report report) {
            if (node instanceof MappingNode mapping) {
                return modules(mapping, key, report);
            }
            String text = node instanceof ScalarNode && !YamlText.isNull(node) ? Scalars.textOf(node) : "";
            Object strategy = STRATEGIES.bySpelling().get(text.toLowerCase(Locale.ROOT));
            if (strategy != null) {
                return new DeviceMap.Planned((DeviceMap.Strategy) strategy);
            }
            try {
                return DeviceMap.all(Device.parse(text));
            } catch (IllegalArgumentException e) {
                return wrong(node, key, report, "");
            }
        }

        private Object modules(MappingNode mapping, String key, Report report) {
            Map<String, Device> devices = new LinkedHashMap<>();
            for (NodeTuple tuple : mapping.getValue()) {
                String name = Scalars.textOf(tuple.getKeyNode());
                if (name == null) {
                    report.add(tuple.getKeyNode(), key, "expected the name of a module; got a list or a map");
                } else if (devices.containsKey(name)) {
                    report.add(tuple.getKeyNode(), key, "given twice: " + Found.in(tuple.getKeyNode()));
                } else {
                    devices.put(name, (Device) new DeviceName().read(tuple.getValueNode(), key + "." + name, report));
                }
            }
            if (devices.isEmpty()) {
                return wrong(mapping, key, report, " without a module");
            }
            return devices.containsValue(null) ? null : new DeviceMap.Modules(devices);
        }

        @Override
        public Map<String, Object> schema() {
            List<String> words = new ArrayList<>(STRATEGIES.byName().keySet());
            words.add("cpu");
            words.add("disk");
            Map<String, Object> map = new LinkedHashMap<>();
            map.put("type", "object");
            map.put("minProperties", 1);
            map.put("additionalProperties", new DeviceName().schema());
            Map<String, Object> gpu = new LinkedHashMap<>();
            gpu.put("type", "integer");
            gpu.put("minimum", 0);
            return new LinkedHashMap<>(Map.of("anyOf", List.of(Map.of("enum", words), gpu, map)));
        }
    }

    /** A map from devices to amounts of memory. */
    record Limits() implements ValueType {
        @Override
        public String expected() {
            return "a map from cpu or the number of a GPU to " + MemorySize.EXPECTED;
        }

        @Override
        public Object read(Node node, String key, Report report) {
            if (!(node instanceof MappingNode mapping)) {
                return wrong(node, key, report, "");
            }
            Map<Device, MemorySize> limits = new LinkedHashMap<>();
            boolean whole = true;
            for (NodeTuple tuple : mapping.getValue()) {
                Object device = new DeviceName().read(tuple.getKeyNode(), key, report);
                if (device == null) {
                    whole = false;
                    continue;
                }
                Object size = new Scalars.Size().read(tuple.getValueNode(), key + "." + device, report);
                whole &= size != null;
                if (limits.put((Device) device, (MemorySize) size) != null) {
                    report.add(tuple.getKeyNode(), key, "given twice: " + Found.in(tuple.getKeyNode()));
                }
            }
            return whole ? limits : null;
        }

        @Override
        public Object none() {
            return Map.of();
        }

        @Override
        public Map<String, Object> schema() {
            Map<String, Object> schema = new LinkedHashMap<>();
            schema.put("type", "object");
            schema.put("propertyNames", Map.of("pattern", "^(cpu|disk|(cuda:)?\\d{1,4})$"));
            schema.put("additionalProperties", new Scalars.Size().schema());
            return schema;
        }
    }
}
