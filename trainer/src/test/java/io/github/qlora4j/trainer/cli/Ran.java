package io.github.qlora4j.trainer.cli;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;

/** A command that was run in this JVM: its exit code and what it wrote. */
record Ran(int code, String out, String err) {
    /** The names of all verbs but {@code help}. */
    static List<String> verbs() {
        return qlora("--help")
                .out()
                .lines()
                .dropWhile(line -> !line.startsWith("Verbs:"))
                .skip(1)
                .takeWhile(line -> !line.isBlank())
                .filter(line -> line.matches("  \\S.*"))
                .map(line -> line.strip().split(" +", 2)[0].replace(",", ""))
                .filter(name -> !name.equals("help"))
                .toList();
    }

    static Ran qlora(String... args) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        int code = Main.run(args, out, err);
        return new Ran(code, out.toString(StandardCharsets.UTF_8), err.toString(StandardCharsets.UTF_8));
    }
}
