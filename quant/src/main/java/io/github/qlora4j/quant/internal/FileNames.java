package io.github.qlora4j.quant.internal;

import java.io.File;
import java.nio.file.InvalidPathException;
import java.util.Optional;

/** What no file can be called, told before a file system is asked and without all of the text. */
public final class FileNames {

    /** In characters, as macOS and Windows count; Linux counts bytes, of which there are no fewer. */
    private static final int LONGEST_NAME = 255;

    private static final int LONGEST_PATH = File.separatorChar == '/' ? 4095 : 32_767;

    private static final int SHOWN = 60;

    private FileNames() {}

    /** Why a text is too long to be a path; empty where it may be one. */
    public static Optional<String> tooLong(String path) {
        if (path.length() > LONGEST_PATH) {
            return Optional.of(
                    "a path has at most " + LONGEST_PATH + " characters; got " + path.length() + ", " + shown(path));
        }
        for (String name : path.split("/", -1)) {
            if (name.length() > LONGEST_NAME) {
                return Optional.of("the name of a file or directory has at most " + LONGEST_NAME + " characters; got "
                        + name.length() + ", " + shown(name));
            }
        }
        return Optional.empty();
    }

    /** Why a text is no path: Java knows names only in the encoding of the locale. */
    public static String reason(InvalidPathException e) {
        return e.getReason().contains("unmappable")
                ? "it has letters that file names cannot have in this locale; set LC_ALL=C.UTF-8"
                : e.getReason();
    }

    /** The beginning of it in quotes. */
    private static String shown(String text) {
        return "\""
                + text.substring(0, text.offsetByCodePoints(0, Math.min(SHOWN, text.codePointCount(0, text.length()))))
                + "…\"";
    }
}
