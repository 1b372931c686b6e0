package io.github.qlora4j.quant.internal;

import com.google.gson.stream.JsonToken;
import java.io.EOFException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.AccessDeniedException;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.FileSystemLoopException;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Why something failed, in words for the user: one line, without the names of classes and without advice to programmers. */
public final class Reason {

    private static final Pattern TOKEN = Pattern.compile(
            "\\b(BEGIN_OBJECT|END_OBJECT|BEGIN_ARRAY|END_ARRAY|NAME|STRING|NUMBER|BOOLEAN|NULL|END_DOCUMENT)\\b");

    /** What Java tells of the first failure of a class when it is used again. */
    private static final Pattern AGAIN = Pattern.compile("Exception [\\w.$]+: (.*?)(?: \\[in thread .*])?");

    private Reason() {}

    /** Of a file or directory that cannot be read, written, moved or listed; the message need not name it. */
    public static String of(IOException e) {
        if (e instanceof NoSuchFileException) {
            return "no such file or directory";
        } else if (e instanceof AccessDeniedException) {
            return "permission denied";
        } else if (e instanceof FileAlreadyExistsException) {
            return "it is there already";
        } else if (e instanceof DirectoryNotEmptyException) {
            return "the directory is not empty";
        } else if (e instanceof NotDirectoryException) {
            return "it is not a directory";
        } else if (e instanceof FileSystemLoopException) {
            return "its symbolic links lead in a circle";
        } else if (e instanceof CharacterCodingException) {
            return "it is not UTF-8 text";
        } else if (e instanceof EOFException) {
            return "it ends too early";
        } else if (e instanceof FileSystemException file && file.getReason() != null) {
            return firstLine(file.getReason());
        }
        return e.getMessage() == null ? "it failed without a reason" : firstLine(e.getMessage());
    }

    /** As {@link #of(IOException)}. */
    public static String of(UncheckedIOException e) {
        return of(e.getCause());
    }

    /** Of a native library, or the Java class before it, that could not be made ready. */
    public static String ofLibrary(Throwable e) {
        String reason = "";
        for (Throwable cause = e; cause != null; cause = cause.getCause()) {
            String line = firstLine(String.valueOf(cause.getMessage()));
            Matcher again = AGAIN.matcher(line);
            line = again.matches() ? again.group(1) : line;
            if (!line.isBlank() && !line.equals("null") && !line.startsWith("Could not initialize class ")) {
                reason = line.replaceFirst("^(?:[\\w.$]+(?:Exception|Error): )+", "");
            }
        }
        return reason.isEmpty() ? "no reason is given" : reason;
    }

    /** Of a text that is not JSON, as Gson's readers and parsers tell it. */
    public static String ofJson(Exception e) {
        for (Throwable cause = e; cause != null; cause = cause.getCause()) {
            if (cause instanceof CharacterCodingException) {
                return "it is not UTF-8 text";
            } else if (cause instanceof EOFException) {
                return "it ends in the middle";
            }
        }
        // Gson's advice is to its programmer, as are the names of its classes and tokens.
        String line = firstLine(String.valueOf(e.getMessage()))
                .replaceFirst("^(?:[\\w.]+Exception: )+", "")
                .replace("Use JsonReader.setStrictness(Strictness.LENIENT) to accept malformed JSON", "malformed JSON");
        Matcher token = TOKEN.matcher(line);
        return token.replaceAll(found -> kind(JsonToken.valueOf(found.group())));
    }

    /** What stands at a place in a JSON text. */
    public static String kind(JsonToken token) {
        return switch (token) {
            case BEGIN_OBJECT -> "an object";
            case END_OBJECT -> "the end of an object";
            case BEGIN_ARRAY -> "a list";
            case END_ARRAY -> "the end of a list";
            case NAME -> "a key";
            case STRING -> "a text";
            case NUMBER -> "a number";
            case BOOLEAN -> "true or false";
            case NULL -> "null";
            case END_DOCUMENT -> "the end of the file";
        };
    }

    private static String firstLine(String message) {
        return message.lines().findFirst().orElse("");
    }
}
