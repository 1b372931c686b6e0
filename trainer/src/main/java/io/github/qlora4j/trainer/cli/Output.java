package io.github.qlora4j.trainer.cli;

import java.io.BufferedWriter;
import java.io.IOException;
import java.io.OutputStream;
import java.io.OutputStreamWriter;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.Writer;
import java.nio.charset.StandardCharsets;

/**
 * Where a command's results go: UTF-8, buffered, and ending the command where it can no longer be written.
 *
 * <p>A {@link PrintWriter} alone would swallow a full disk or a reader that has gone, and a command would go on for
 * nothing and report success.
 */
final class Output extends PrintWriter {

    /** Thrown out of any write after the other end was closed or the disk was full. */
    static final class Lost extends RuntimeException {
        private static final long serialVersionUID = 1L;

        Lost(IOException cause) {
            super(cause);
        }

        /** Whether the reader just stopped reading, as {@code head} does, which is nothing to report. */
        boolean readerGone() {
            String message = String.valueOf(getCause().getMessage());
            return message.contains("Broken pipe") || message.contains("pipe is being closed");
        }
    }

    private Output(Writer writer) {
        super(writer);
    }

    /** Makes an output over a stream, which the caller goes on to own. */
    static Output to(OutputStream out) {
        return new Output(
                new Unforgiving(new BufferedWriter(new OutputStreamWriter(out, StandardCharsets.UTF_8), 8192), out));
    }

    /** Passes everything on, and turns what fails into {@link Lost}. */
    private static final class Unforgiving extends Writer {
        private final Writer writer;
        private final OutputStream out;

        Unforgiving(Writer writer, OutputStream out) {
            this.writer = writer;
            this.out = out;
        }

        @Override
        public void write(char[] text, int offset, int length) {
            try {
                writer.write(text, offset, length);
                check();
            } catch (IOException e) {
                throw new Lost(e);
            }
        }

        @Override
        public void flush() {
            try {
                writer.flush();
                check();
            } catch (IOException e) {
                throw new Lost(e);
            }
        }

        /** A PrintStream such as System.out keeps its failures to itself. */
        private void check() throws IOException {
            if (out instanceof PrintStream stream && stream.checkError()) {
                throw new IOException("the stream cannot be written");
            }
        }

        @Override
        public void close() {
            flush();
        }
    }
}
