package io.github.qlora4j.examples;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javax.tools.JavaCompiler;
import javax.tools.StandardJavaFileManager;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The Java programs under scripts, which are compiled only when somebody runs them, still fit the libraries. */
class ScriptsTest {

    private static final Path SCRIPTS = Path.of("../scripts");

    @TempDir
    private Path classes;

    static Stream<Map.Entry<Path, List<Path>>> programs() throws IOException {
        try (Stream<Path> files = Files.walk(SCRIPTS)) {
            return files
                    .filter(file -> file.toString().endsWith(".java")
                            && !file.toString().contains("/target/"))
                    .collect(Collectors.groupingBy(Path::getParent))
                    .entrySet()
                    .stream();
        }
    }

    @ParameterizedTest
    @MethodSource("programs")
    void itCompiles(Map.Entry<Path, List<Path>> program) throws IOException {
        JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
        StringWriter said = new StringWriter();
        try (StandardJavaFileManager files = compiler.getStandardFileManager(null, null, null)) {
            boolean done = compiler.getTask(
                            said,
                            files,
                            null,
                            List.of("-proc:none", "-d", classes.toString()),
                            null,
                            files.getJavaFileObjectsFromPaths(program.getValue()))
                    .call();
            assertThat(done).as("%s", said).isTrue();
        }
    }
}
