package io.github.qlora4j.trainer.config;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.RecordComponent;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import org.snakeyaml.engine.v2.nodes.Node;

/** The keys of a record of the configuration, read off its components. */
record Keys(Class<? extends Record> type, List<Keys.Entry> entries) {

    private static final ClassValue<Keys> CACHE = new ClassValue<>() {
        @Override
        protected Keys computeValue(Class<?> type) {
            List<Entry> entries = new ArrayList<>();
            for (RecordComponent component : type.getRecordComponents()) {
                if (!component.isAnnotationPresent(Flattened.class)) {
                    entries.add(Entry.of(null, component));
                    continue;
                }
                for (RecordComponent inner : component.getType().getRecordComponents()) {
                    entries.add(Entry.of(component, inner));
                }
            }
            return new Keys(type.asSubclass(Record.class), List.copyOf(entries));
        }
    };

    /**
     * One key: its name, what stands on the component, and how its value is read.
     *
     * @param holder the flattened component that it stands in, or null
     */
    record Entry(String name, Key key, RecordComponent holder, RecordComponent component, ValueType type) {

        private static Entry of(RecordComponent holder, RecordComponent component) {
            Key key =
                    Objects.requireNonNull(component.getAnnotation(Key.class), () -> "@Key is missing on " + component);
            String name = key.name().isEmpty() ? snakeCase(component.getName()) : key.name();
            return new Entry(name, key, holder, component, ValueType.of(component));
        }

        /** {@code null} may be written. */
        boolean nullable() {
            return !key.required()
                    && (key.orElse().equals("null")
                            || component.getType() == Integer.class
                            || component.getType() == TargetModules.class);
        }

        /** The default; the same reading as of what a user writes. */
        Object fallback(String path) {
            Report report = new Report();
            Object value = read(YamlText.compose(key.orElse(), path), path, report);
            if (!report.problems().isEmpty()) {
                throw new IllegalStateException("the default of " + path + ": " + report.problems());
            }
            return value;
        }

        /** Reads a value; {@code null} where it is wrong, which is then in the report. */
        Object read(Node node, String path, Report report) {
            if (YamlText.isNull(node) && nullable()) {
                return type.none();
            }
            return type.read(node, path, report);
        }

        Object value(Record record) {
            return get(component, holder == null ? record : get(holder, record));
        }

        private static Object get(RecordComponent component, Object record) {
            try {
                return component.getAccessor().invoke(record);
            } catch (IllegalAccessException | InvocationTargetException e) {
                throw new IllegalStateException(component.toString(), e);
            }
        }

        private static String snakeCase(String camelCase) {
            return camelCase.replaceAll("([A-Z])", "_$1").toLowerCase(Locale.ROOT);
        }
    }

    static Keys of(Class<?> type) {
        return CACHE.get(type);
    }

    /** Names to entries, in the order of the record. */
    Map<String, Entry> byName() {
        Map<String, Entry> map = new LinkedHashMap<>();
        entries.forEach(e -> map.put(e.name(), e));
        return map;
    }

    /** Makes the record of its components' values. */
    Record make(List<Object> values) {
        return make(type, values.iterator());
    }

    private static Record make(Class<? extends Record> type, Iterator<Object> values) {
        RecordComponent[] components = type.getRecordComponents();
        Class<?>[] types =
                Arrays.stream(components).map(RecordComponent::getType).toArray(Class<?>[]::new);
        Object[] arguments = Arrays.stream(components)
                .map(c -> c.isAnnotationPresent(Flattened.class)
                        ? make(c.getType().asSubclass(Record.class), values)
                        : values.next())
                .toArray();
        try {
            return type.getDeclaredConstructor(types).newInstance(arguments);
        } catch (InvocationTargetException e) {
            if (e.getCause() instanceof RuntimeException cause) {
                throw cause;
            }
            throw new IllegalStateException(type.toString(), e);
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(type.toString(), e);
        }
    }
}
