package io.github.qlora4j.trainer.data;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.EditDistance;
import io.github.qlora4j.quant.internal.FileNames;
import io.github.qlora4j.quant.internal.Reason;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.nio.file.PathMatcher;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.regex.PatternSyntaxException;
import java.util.stream.Stream;

/** Files by name or by glob ({@code *}, {@code ?}, {@code [ab]}, <code>{a,b}</code>, {@code **}), globs in sorted order. */
final class FilePatterns {

    private static final int NEAREST = 3;

    /** Of a glob that is longer the beginning is told. */
    private static final int SHOWN = 300;

    private FilePatterns() {}

    private static QloraException notFound(String key, String pattern, IOException e) {
        return new QloraException(key + ": \"" + shown(pattern) + "\" cannot be looked up: " + Reason.of(e), e);
    }

    /**
     * The files that names and globs stand for, in the order given, each once.
     *
     * @param key the configuration key, for messages
     * @throws QloraException if one of them stands for no file
     */
    static List<Path> resolve(String key, List<String> patterns) {
        Set<Path> files = new LinkedHashSet<>();
        for (String pattern : patterns) {
            try {
                files.addAll(resolveOne(key, pattern));
            } catch (InvalidPathException | PatternSyntaxException e) {
                throw new QloraException(
                        key + ": \"" + shown(pattern) + "\" is not a file name or glob: " + e.getMessage(), e);
            } catch (IOException e) {
                throw notFound(key, pattern, e);
            } catch (UncheckedIOException e) {
                throw notFound(key, pattern, e.getCause());
            }
        }
        if (files.isEmpty()) {
            throw new QloraException(key + ": names no file");
        }
        return List.copyOf(files);
    }

    private static List<Path> resolveOne(String key, String pattern) throws IOException {
        boolean glob = pattern.chars().anyMatch(c -> "*?[{".indexOf(c) >= 0);
        // A file whose own name has such a character in it is meant by it.
        if (!glob || exists(pattern)) {
            FileNames.tooLong(pattern).ifPresent(why -> {
                throw new QloraException(key + ": " + why);
            });
            Path file = Path.of(pattern);
            if (Files.isDirectory(file)) {
                throw new QloraException(key + ": " + file + " is a directory; expected a file or a glob such as \""
                        + file + "/*.jsonl\"");
            }
            if (!Files.exists(file)) {
                throw new QloraException(key + ": no such file: " + file
                        + nearest(file.toAbsolutePath().getParent(), name(file)));
            }
            if (!Files.isRegularFile(file)) {
                throw new QloraException(key + ": " + file + " is not a regular file; it is read more than once");
            }
            return List.of(file);
        }
        Path base = Path.of("");
        String[] parts = pattern.split("/", -1);
        if (pattern.startsWith("/")) {
            base = Path.of("/");
        }
        for (int i = 0; i < parts.length - 1 && parts[i].chars().noneMatch(c -> "*?[{".indexOf(c) >= 0); i++) {
            base = base.resolve(parts[i]);
        }
        List<Path> found = new ArrayList<>();
        if (Files.isDirectory(base.toAbsolutePath())) {
            PathMatcher matcher = FileSystems.getDefault().getPathMatcher("glob:" + pattern);
            int depth = pattern.contains("**") ? 64 : parts.length;
            try (Stream<Path> walk = Files.walk(base, depth)) {
                walk.filter(matcher::matches)
                        .filter(Files::isRegularFile)
                        .sorted()
                        .forEach(found::add);
            }
        }
        if (found.isEmpty()) {
            throw new QloraException(key + ": no file matches \"" + shown(pattern) + "\""
                    + nearest(base.toAbsolutePath(), parts[parts.length - 1]));
        }
        return found;
    }

    private static boolean exists(String name) {
        try {
            return Files.exists(Path.of(name));
        } catch (InvalidPathException e) {
            return false;
        }
    }

    private static String shown(String pattern) {
        return pattern.length() > SHOWN ? pattern.substring(0, SHOWN) + "…" : pattern;
    }

    private static String name(Path file) {
        return String.valueOf(file.getFileName());
    }

    private static String nearest(Path directory, String name) {
        if (directory == null || !Files.isDirectory(directory)) {
            return "; there is no directory " + directory;
        }
        try (Stream<Path> list = Files.list(directory)) {
            List<String> names = list.filter(Files::isRegularFile)
                    .map(FilePatterns::name)
                    .sorted(Comparator.<String>comparingInt(n -> EditDistance.between(n, name))
                            .thenComparing(Comparator.naturalOrder()))
                    .limit(NEAREST)
                    .toList();
            return names.isEmpty()
                    ? "; " + directory + " has no files"
                    : ". The nearest names in " + directory + ": " + String.join(", ", names);
        } catch (IOException | UncheckedIOException e) {
            return "";
        }
    }
}
