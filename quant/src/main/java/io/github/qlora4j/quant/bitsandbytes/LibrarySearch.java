package io.github.qlora4j.quant.bitsandbytes;

import com.sun.jna.Platform;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.Reason;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.UnaryOperator;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * What came of looking for the CPU library of bitsandbytes.
 *
 * <p>Looked at, in this order: the file that {@code BITSANDBYTES_LIBRARY} names (environment variable or system
 * property), the cache that {@code scripts/install-bitsandbytes} fills, and an installed Python package. The first
 * file that loads is taken. Nothing is thrown: a file that is missing, cut, or of another system is one attempt more.
 *
 * @param attempts every place looked at, with what was found there
 * @param library the loaded file, null where none was
 * @param usable whether it is loaded and the CPU has what its exact code needs, AVX-512
 */
public record LibrarySearch(List<Attempt> attempts, Path library, boolean usable) {

    /** The release whose bytes ours are compared with. */
    public static final String VERSION = "0.50.2";

    /** What installs the library. */
    public static final String REMEDY = "run scripts/install-bitsandbytes, or set BITSANDBYTES_LIBRARY to the file";

    private static final String NO_FILE = "no such file";
    private static final String LOADED = "loaded";
    /** As JNA says it. */
    private static final Pattern MISSING_FUNCTION = Pattern.compile("Error looking up function '(\\w+)'");

    /** Checked once a JVM, as a library cannot be unloaded. */
    private static final class Held {
        static final LibrarySearch RESULT = search(LibrarySearch::setting, true);
    }

    /**
     * One place looked at.
     *
     * @param place what kind of place it is
     * @param path the file looked at, null where the place names none
     * @param outcome what was found, a sentence without a full stop
     */
    public record Attempt(String place, Path path, String outcome) {
        @Override
        public String toString() {
            return place + (path == null ? "" : " (" + path + ")") + ": " + outcome;
        }
    }

    /** Looks for the library and loads it; later calls give the first one's result. */
    public static LibrarySearch result() {
        return Held.RESULT;
    }

    /** The attempts as lines for a person. */
    public String describe() {
        return attempts.stream().map(a -> "  " + a).collect(Collectors.joining("\n"));
    }

    /** Where {@code scripts/install-bitsandbytes} puts the library. */
    public static Path cachedLibrary() {
        return cachedLibrary(LibrarySearch::setting);
    }

    private static Path cachedLibrary(UnaryOperator<String> settings) {
        return cache(settings).resolve("bitsandbytes").resolve(VERSION).resolve(fileName());
    }

    private static Path cache(UnaryOperator<String> settings) {
        String own = settings.apply("QLORA4J_CACHE");
        if (own != null) {
            return Path.of(own);
        }
        String home = System.getProperty("user.home");
        if (Platform.isWindows()) {
            String local = settings.apply("LOCALAPPDATA");
            return (local == null ? Path.of(home, "AppData", "Local") : Path.of(local)).resolve("qlora4j");
        }
        if (Platform.isMac()) {
            return Path.of(home, "Library", "Caches", "qlora4j");
        }
        String xdg = settings.apply("XDG_CACHE_HOME");
        return (xdg == null ? Path.of(home, ".cache") : Path.of(xdg)).resolve("qlora4j");
    }

    private static String fileName() {
        String suffix = Platform.isWindows() ? ".dll" : Platform.isMac() ? ".dylib" : ".so";
        return "libbitsandbytes_cpu" + suffix;
    }

    private static String setting(String name) {
        String value = System.getProperty(name, System.getenv(name));
        return value == null || value.isBlank() ? null : value;
    }

    /** Looks everywhere; with {@code load} false, files are checked but not loaded. */
    static LibrarySearch search(UnaryOperator<String> settings, boolean load) {
        List<Attempt> attempts = new ArrayList<>();
        String named = settings.apply("BITSANDBYTES_LIBRARY");
        if (named == null) {
            attempts.add(new Attempt("BITSANDBYTES_LIBRARY", null, "not set"));
        }
        try {
            if (named != null && taken("BITSANDBYTES_LIBRARY", Path.of(named), attempts, load)) {
                return found(attempts, Path.of(named), load);
            }
            Path cached = cachedLibrary(settings);
            if (taken("cache", cached, attempts, load)) {
                return found(attempts, cached, load);
            }
        } catch (InvalidPathException e) {
            attempts.add(new Attempt("settings", null, e.getMessage()));
        }
        Optional<Path> installed = pythonPackage(attempts);
        if (installed.isPresent() && taken("Python package", installed.get(), attempts, load)) {
            return found(attempts, installed.get(), load);
        }
        return new LibrarySearch(List.copyOf(attempts), null, false);
    }

    private static LibrarySearch found(List<Attempt> attempts, Path library, boolean load) {
        boolean fast = load && CpuLibrary.hasAvx512();
        if (load && !fast) {
            // Its code for other CPUs gives −0 where the exact one gives 0, and is no faster than ours.
            attempts.add(new Attempt("CPU", null, "no AVX-512, which the library's fast code needs"));
        }
        if (fast && KnownAnswers.ask() != KnownAnswers.EXPECTED) {
            attempts.add(new Attempt(
                    "answers", library, "of another release: it computes other values than bitsandbytes " + VERSION));
            return new LibrarySearch(List.copyOf(attempts), null, false);
        }
        return new LibrarySearch(List.copyOf(attempts), library, fast);
    }

    private static boolean taken(String place, Path file, List<Attempt> attempts, boolean load) {
        String problem;
        try {
            problem = Files.isRegularFile(file) ? NativeFile.problem(file) : NO_FILE;
            if (problem == null && load) {
                CpuLibrary.bind(file);
            }
        } catch (UnsatisfiedLinkError e) {
            problem = whyNotLoaded(String.valueOf(e.getMessage()));
        } catch (IOException e) {
            problem = "cannot be read: " + Reason.of(e);
        }
        attempts.add(new Attempt(place, file, problem == null ? LOADED : problem));
        return problem == null;
    }

    /** JNA names the file in a line of its own, and the system's reason in the next. */
    static String whyNotLoaded(String told) {
        String message = told.lines()
                .filter(line -> !line.startsWith("Unable to load library "))
                .findFirst()
                .orElse("no reason is given");
        Matcher missing = MISSING_FUNCTION.matcher(message);
        if (missing.find()) {
            return "of another version than " + VERSION + ": it has no " + missing.group(1);
        }
        return "does not load: " + message
                + (message.contains("libgomp") ? "; install libgomp (Debian and Ubuntu: libgomp1)" : "");
    }

    /** Why the library is not used, in one line: what is wrong with the first file there is, or that there is none. */
    public String whyNot() {
        return attempts.stream()
                .filter(a -> a.path() != null
                        && !a.outcome().equals(NO_FILE)
                        && !a.outcome().equals(LOADED))
                .findFirst()
                .map(a -> "bitsandbytes' library " + a.path() + ": " + a.outcome())
                .orElse("bitsandbytes' library was not found");
    }

    /** Asks Python where the package is, without importing it: that would load torch. */
    private static Optional<Path> pythonPackage(List<Attempt> attempts) {
        String place = "Python package";
        String question = "import importlib.util as u; s = u.find_spec('bitsandbytes');"
                + " print(s.submodule_search_locations[0] if s else '')";
        for (String python : List.of("python3", "python")) {
            Process process = null;
            try {
                process = new ProcessBuilder(python, "-I", "-c", question)
                        .redirectError(ProcessBuilder.Redirect.DISCARD)
                        .start();
                process.getOutputStream().close();
                if (!process.waitFor(5, TimeUnit.SECONDS)) {
                    attempts.add(new Attempt(place, null, python + " did not answer within 5 seconds"));
                    return Optional.empty();
                }
                String answer = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
                if (answer.isEmpty()) {
                    attempts.add(new Attempt(place, null, python + " has no package bitsandbytes"));
                    return Optional.empty();
                }
                return Optional.of(Path.of(answer, fileName()));
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                attempts.add(new Attempt(place, null, "interrupted"));
                return Optional.empty();
            } catch (IOException | InvalidPathException e) {
                // Not there under this name; the next one may be.
            } finally {
                if (process != null) {
                    process.destroyForcibly();
                }
            }
        }
        attempts.add(new Attempt(place, null, "no Python"));
        return Optional.empty();
    }

    /** The error for those who insist on the library. */
    public QloraException missing() {
        return new QloraException("the bitsandbytes library cannot be used:\n" + describe() + "\n" + REMEDY
                + ", or set quantization.kernel to auto or builtin");
    }
}
