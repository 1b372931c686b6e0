package io.github.qlora4j.trainer.cli;

import io.github.qlora4j.trainer.report.Screen;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * Where messages go: stderr, shared by log lines and one live line (the progress bar) below them.
 *
 * <p>A message that comes while the live line stands clears it, is written, and has the live line drawn again under it.
 * Where stderr is no terminal there is no live line. Nothing here fails: a run goes on when nobody reads its messages.
 */
final class Terminal implements Screen {
    private static final String CLEAR = "\r\u001b[K";

    private final PrintStream target;
    private final int columns;
    private final PrintStream stream;
    private String live = "";

    private Terminal(PrintStream target, int columns) {
        this.target = target;
        this.columns = columns;
        this.stream = new PrintStream(new Lines(), true, StandardCharsets.UTF_8);
    }

    /** This process's stderr; the launcher says in {@code QLORA4J_COLUMNS} how wide a terminal it is. */
    static Terminal ofProcess() {
        PrintStream err = new PrintStream(new FileOutputStream(FileDescriptor.err), true, StandardCharsets.UTF_8);
        String columns = System.getenv("QLORA4J_COLUMNS");
        if (columns != null && columns.matches("[1-9][0-9]{0,4}")) {
            return new Terminal(err, Math.min(Integer.parseInt(columns), 200));
        }
        return new Terminal(err, 0);
    }

    /** A stream that is no terminal. */
    static Terminal plain(PrintStream target) {
        return new Terminal(target, 0);
    }

    /** Columns of the terminal, 0 where there is none. */
    @Override
    public int columns() {
        return columns;
    }

    /** A stream to write messages to. */
    PrintStream stream() {
        return stream;
    }

    /** A new writer for messages, flushed at every line. */
    PrintWriter writer() {
        return new PrintWriter(stream, true, StandardCharsets.UTF_8);
    }

    @Override
    public void line(String text) {
        stream.println(text);
    }

    /** Replaces the live line; an empty text takes it away. */
    @Override
    public synchronized void live(String text) {
        if (columns == 0 || text.equals(live)) {
            return;
        }
        live = text;
        target.print(CLEAR + text);
        target.flush();
    }

    private synchronized void message(byte[] bytes, int length) {
        if (!live.isEmpty()) {
            target.print(CLEAR);
        }
        target.write(bytes, 0, length);
        if (!live.isEmpty()) {
            target.print(live);
        }
        target.flush();
    }

    /** Collects bytes to whole lines, so that two threads' messages do not mix and the live line stays last. */
    private final class Lines extends OutputStream {
        private byte[] buffer = new byte[256];
        private int length;

        @Override
        public synchronized void write(int b) {
            if (length == buffer.length) {
                buffer = Arrays.copyOf(buffer, 2 * length);
            }
            buffer[length++] = (byte) b;
            if (b == '\n') {
                send();
            }
        }

        @Override
        public synchronized void flush() {
            // A prompt without a line end is shown at once; under a live line only whole lines are.
            if (length > 0 && live.isEmpty()) {
                send();
            }
        }

        private void send() {
            message(buffer, length);
            length = 0;
        }
    }
}
