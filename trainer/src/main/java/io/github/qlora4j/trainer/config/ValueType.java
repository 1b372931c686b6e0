package io.github.qlora4j.trainer.config;

import java.lang.reflect.ParameterizedType;
import java.lang.reflect.RecordComponent;
import java.lang.reflect.Type;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.snakeyaml.engine.v2.nodes.Node;

/** What values a key takes: how they are read from a node, and how a JSON Schema describes them. */
interface ValueType {

    /** Finishes "expected …". */
    String expected();

    /** Reads a value; {@code null} where it is wrong, which is then in the report under the key. */
    Object read(Node node, String key, Report report);

    /** The JSON Schema of a value. */
    Map<String, Object> schema();

    /** What {@code null} stands for, where it may be written. */
    default Object none() {
        return null;
    }

    /** What keeps a record whole whose required key was wrong; the problem is in the report already. */
    default Object standIn() {
        return null;
    }

    /** Says what was expected and what was found. */
    default Object wrong(Node node, String key, Report report, String hint) {
        report.add(node, key, "expected " + expected() + "; got " + Found.in(node) + hint);
        return null;
    }

    /** The type of a component, by its Java type and its {@link Range}. */
    static ValueType of(RecordComponent component) {
        return of(component.getGenericType(), component.getAnnotation(Range.class));
    }

    private static ValueType of(Type type, Range range) {
        if (type instanceof ParameterizedType generic) {
            Type[] arguments = generic.getActualTypeArguments();
            if (generic.getRawType() == List.class) {
                return new ListsAndMaps.ListOf(of(arguments[0], range));
            }
            if (generic.getRawType() == Map.class && arguments[0] == Device.class) {
                return new Placements.Limits();
            }
            if (generic.getRawType() == Map.class) {
                return new ListsAndMaps.MapOf(of(arguments[1], range));
            }
        }
        if (type instanceof Class<?> c) {
            if (c == boolean.class || c == Boolean.class) {
                return new Scalars.Flag();
            } else if (c == int.class || c == Integer.class) {
                return new Scalars.Whole(Bounds.of(range));
            } else if (c == double.class || c == Double.class) {
                return new Scalars.Decimal(Bounds.of(range));
            } else if (c == String.class) {
                return new Scalars.Text();
            } else if (c == Path.class) {
                return new Scalars.PathText();
            } else if (c == MemorySize.class) {
                return new Scalars.Size();
            } else if (c == DeviceMap.class) {
                return new Placements.DeviceMapType();
            } else if (c == TargetModules.class) {
                return new Choices.Targets();
            } else if (c == ModuleNames.class) {
                return new Choices.Modules();
            } else if (c == TemplateChoice.class) {
                return new Choices.Template();
            } else if (c.isEnum()) {
                return Scalars.OneOf.of(c);
            } else if (c.isRecord()) {
                return new RecordType(c.asSubclass(Record.class));
            }
        }
        throw new IllegalStateException("no configuration key has the type " + type);
    }
}
