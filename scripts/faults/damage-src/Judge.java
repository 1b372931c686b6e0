package damage;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** Says what is wrong with how a run ended; nothing, where it did its work or told in clear words why not. */
final class Judge {

    private static final int MOST_LINES = 60;
    private static final int LONGEST_LINE = 3000;

    /** Java, Rust and C++ showing through. */
    private static final Pattern INTERNALS = Pattern.compile("internal error|(?m)^\\s+at [a-z][\\w.$]*\\.[\\w$<>]+\\(|\\b\\w+Exception\\b"
            + "|\\b(OutOfMemory|StackOverflow)Error\\b|\\b(java|javax|com\\.google|io\\.github\\.qlora4j|ai\\.djl|org\\.(snakeyaml|apache))\\.[a-z]"
            + "|JsonReader|Strictness|gson|BEGIN_(OBJECT|ARRAY)|END_(OBJECT|ARRAY|DOCUMENT)|panicked at|c10::|\\bat::|torch\\.\\w+Error"
            + "|NDArray|PtND|null pointer|because \"");

    /** The run took more memory than it may: a number in a file was believed. */
    private static final Pattern MEMORY = Pattern.compile("Java heap|not enough memory for a tensor|can't allocate");

    private static final Pattern CONTROL = Pattern.compile("[\\x00-\\x08\\x0B-\\x1F\\x7F\\u0080-\\u009F\\u2028\\u2029\\u202E]");

    /** Numbers that JSON does not have. */
    private static final Pattern NOT_FINITE = Pattern.compile("\\bNaN\\b|\\b-?Infinity\\b");

    private Judge() {}

    /**
     * The problems of a run.
     *
     * @param names one of which an error must have in it: the damaged file, its directory, a key of it
     */
    static List<String> problems(Run run, List<String> names) {
        List<String> problems = new ArrayList<>();
        if (!run.odd().isEmpty()) {
            problems.add("another exception came out:\n" + run.odd());
            return problems;
        }
        Matcher internals = INTERNALS.matcher(run.err());
        if (internals.find()) {
            problems.add("the message shows what is inside: " + internals.group().strip());
        }
        if (MEMORY.matcher(run.err()).find()) {
            problems.add("too much memory was asked for");
        }
        // what a model generates, or rows hold, may have anything in it; names and settings of files may not
        Matcher control = CONTROL.matcher(run.what().startsWith("qlora inspect") ? run.err() + run.out() : run.err());
        if (control.find()) {
            problems.add(String.format("the message has the control character U+%04X in it", (int) control.group().charAt(0)));
        }
        if (run.err().lines().count() > MOST_LINES || run.err().lines().anyMatch(l -> l.length() > LONGEST_LINE)) {
            problems.add("the message is " + run.err().length() + " characters long");
        }
        if (run.code() == 0) {
            if (NOT_FINITE.matcher(run.out()).find()) {
                problems.add("the result is not finite");
            }
            return problems;
        }
        if (run.code() != 1 && run.code() != 2) {
            problems.add("the exit code is " + run.code());
        }
        List<String> errors = run.err().lines().filter(l -> l.startsWith("error: ")).toList();
        if (errors.size() != 1) {
            problems.add(errors.size() + " errors are told, not one");
        }
        String error = run.err().substring(Math.max(0, run.err().indexOf("error: ")));
        if (names.stream().noneMatch(error::contains)) {
            problems.add("the error names none of " + names);
        }
        return problems;
    }

    /** What a run that failed left behind where its result should be. */
    static List<String> leftOver(Path directory) throws IOException {
        if (!Files.exists(directory)) {
            return List.of();
        }
        try (Stream<Path> all = Files.walk(directory)) {
            return all.filter(p -> !p.equals(directory))
                    .filter(p -> !p.getFileName().toString().equals(".lock"))
                    .map(Path::toString)
                    .sorted()
                    .toList();
        }
    }
}
