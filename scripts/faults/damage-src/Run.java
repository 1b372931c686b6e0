package damage;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.trainer.cli.Main;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;

/**
 * How one thing ended that was done with an input.
 *
 * @param what it was: a command line, or a call of the library
 * @param code the exit code; of a call, 0, or 1 where it threw a {@link QloraException}
 * @param out what it gave
 * @param err what it said, log lines included
 * @param odd the stack trace of another exception that came out of a call; empty where there was none
 */
record Run(String what, int code, String out, String err, String odd) {

    /** A call of the library. */
    interface Call {
        void run() throws Exception;
    }

    /** Runs a command of the command line in this process. */
    static Run of(String... args) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        String odd = "";
        int code = -1;
        PrintStream before = System.err;
        // log lines go through System.err
        System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
        try {
            code = Main.run(args, out, err);
        } catch (Throwable e) {
            odd = trace(e);
        } finally {
            System.setErr(before);
        }
        return new Run("qlora " + String.join(" ", args), code, text(out), text(err), odd);
    }

    /** Calls the library. */
    static Run of(String what, Call call) {
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        PrintStream before = System.err;
        PrintStream told = new PrintStream(err, true, StandardCharsets.UTF_8);
        System.setErr(told);
        String odd = "";
        int code = 0;
        try {
            call.run();
        } catch (QloraException e) {
            code = 1;
            told.println("error: " + e.getMessage());
        } catch (Throwable e) {
            code = 1;
            odd = trace(e);
        } finally {
            System.setErr(before);
        }
        return new Run(what, code, "", text(err), odd);
    }

    private static String text(ByteArrayOutputStream bytes) {
        return bytes.toString(StandardCharsets.UTF_8);
    }

    private static String trace(Throwable problem) {
        StringWriter text = new StringWriter();
        problem.printStackTrace(new PrintWriter(text, true));
        String all = text.toString();
        return all.length() > 4000 ? all.substring(0, 4000) + "…" : all;
    }
}
