package io.github.qlora4j.examples;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import jdk.jshell.DeclarationSnippet;
import jdk.jshell.Diag;
import jdk.jshell.EvalException;
import jdk.jshell.JShell;
import jdk.jshell.Snippet;
import jdk.jshell.SnippetEvent;
import jdk.jshell.SourceCodeAnalysis;

/**
 * Runs a JShell notebook: shows each snippet and its value, and stops at the first that fails, which {@code jshell} does
 * not.
 *
 * <p>{@code java … NotebookRunner [--step] FILE.jsh}. With {@code --step} it waits before each snippet: Enter runs it, a
 * line of Java is evaluated first, {@code q} leaves. Exit code 0, 1 where a snippet failed, 2 for a wrong use.
 *
 * <p>It is started as a single source file by {@code scripts/notebook}, so it uses nothing but the JDK.
 */
public final class NotebookRunner {

    private static final int LONGEST = 240;

    private static final String IMPORTS = """
            import java.io.*;
            import java.math.*;
            import java.net.*;
            import java.nio.file.*;
            import java.util.*;
            import java.util.concurrent.*;
            import java.util.function.*;
            import java.util.stream.*;
            """;

    private final Path file;
    private final PrintStream out;
    private final BufferedReader steps;

    private NotebookRunner(Path file, PrintStream out, BufferedReader steps) {
        this.file = file;
        this.out = out;
        this.steps = steps;
    }

    /** Runs the file that the arguments name. */
    public static void main(String[] arguments) throws IOException {
        boolean step = arguments.length == 2 && arguments[0].equals("--step");
        if (!step && arguments.length != 1) {
            System.err.println("usage: NotebookRunner [--step] FILE.jsh");
            System.exit(2);
        }
        BufferedReader steps =
                step ? new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8)) : null;
        Path file = Path.of(arguments[arguments.length - 1]);
        System.exit(new NotebookRunner(file, System.out, steps).run() ? 0 : 1);
    }

    /** Runs a notebook without waiting; false where a snippet failed, which {@code out} then tells with file and line. */
    public static boolean run(Path file, PrintStream out) throws IOException {
        return new NotebookRunner(file, out, null).run();
    }

    private boolean run() throws IOException {
        // In this very process, so that the native libraries are loaded once and system properties are the notebook's.
        try (JShell shell = JShell.builder().executionEngine("local").build()) {
            for (String part : System.getProperty("java.class.path").split(System.getProperty("path.separator"))) {
                shell.addToClasspath(part);
            }
            IMPORTS.lines().forEach(shell::eval);
            List<String> lines = Files.readAllLines(file);
            StringBuilder snippet = new StringBuilder();
            int first = 1;
            for (int i = 0; i < lines.size(); i++) {
                String line = lines.get(i);
                if (snippet.isEmpty()) {
                    first = i + 1;
                    if (line.isBlank() || line.startsWith("//")) {
                        out.println(line);
                        continue;
                    }
                }
                snippet.append(line).append('\n');
                if (shell.sourceCodeAnalysis()
                        .analyzeCompletion(snippet.toString())
                        .completeness()
                        .isComplete()) {
                    if (!stepped(shell)) {
                        return true;
                    }
                    if (!shown(shell, snippet.toString(), first)) {
                        return false;
                    }
                    snippet.setLength(0);
                }
            }
            if (!snippet.isEmpty()) {
                return failed(first, "this snippet does not end");
            }
            return true;
        }
    }

    /** Waits for Enter; false to leave. Lines of Java are evaluated meanwhile, wrong ones too. */
    private boolean stepped(JShell shell) throws IOException {
        while (steps != null) {
            out.print("[Enter: next, Java: try it, q: leave] ");
            out.flush();
            String line = steps.readLine();
            if (line == null || line.strip().equals("q")) {
                return false;
            }
            if (line.isBlank()) {
                break;
            }
            evaluated(shell, line, 0);
        }
        return true;
    }

    private boolean shown(JShell shell, String snippet, int line) {
        snippet.lines().forEach(text -> out.println("> " + text));
        out.flush();
        return evaluated(shell, snippet, line);
    }

    /** Evaluates what may be several snippets on one line; {@code line} is 0 for what was typed. */
    private boolean evaluated(JShell shell, String text, int line) {
        String rest = text;
        while (!rest.isBlank()) {
            SourceCodeAnalysis.CompletionInfo info = shell.sourceCodeAnalysis().analyzeCompletion(rest);
            String source = info.source() == null ? rest : info.source();
            for (SnippetEvent event : shell.eval(source)) {
                // other events tell of earlier snippets that this one changed
                if (event.causeSnippet() == null && !told(shell, event, line)) {
                    return false;
                }
            }
            rest = info.source() == null || info.remaining() == null ? "" : info.remaining();
        }
        out.flush();
        return true;
    }

    private boolean told(JShell shell, SnippetEvent event, int line) {
        Snippet snippet = event.snippet();
        if (event.exception() != null) {
            int at = 0;
            for (StackTraceElement frame : event.exception().getStackTrace()) {
                if (("#" + snippet.id()).equals(frame.getFileName())) {
                    at = frame.getLineNumber() - 1;
                    break;
                }
            }
            String name =
                    event.exception() instanceof EvalException e ? e.getExceptionClassName() : "unresolved reference";
            return failed(
                    line == 0 ? 0 : line + at, name + ": " + event.exception().getMessage());
        }
        if (event.status() != Snippet.Status.VALID) {
            Diag problem =
                    shell.diagnostics(snippet).filter(Diag::isError).findFirst().orElse(null);
            if (problem == null) {
                String missing = snippet instanceof DeclarationSnippet declared
                        ? shell.unresolvedDependencies(declared)
                                .collect(Collectors.joining(", ", ": ", " is not known"))
                        : "";
                return failed(line, "this snippet cannot be used" + missing);
            }
            int before = (int) Math.min(
                    Math.max(problem.getPosition(), 0), snippet.source().length());
            int at = (int) snippet.source()
                    .substring(0, before)
                    .chars()
                    .filter(c -> c == '\n')
                    .count();
            return failed(line == 0 ? 0 : line + at, problem.getMessage(Locale.ROOT));
        }
        if (event.value() != null && !event.value().isEmpty()) {
            String name = snippet instanceof jdk.jshell.VarSnippet variable ? variable.name() + " ==> " : "";
            // a large array is not for reading
            String value = event.value();
            out.println(name + (value.length() <= LONGEST ? value : value.substring(0, LONGEST) + " ..."));
        }
        return true;
    }

    private boolean failed(int line, String message) {
        out.println((line == 0 ? "" : file + ":" + line + ": ") + message);
        out.flush();
        return false;
    }
}
