package io.github.qlora4j.trainer.bench;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.torch.Torch;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/**
 * The program of the JVM that measures one scheme.
 *
 * <p>It takes a line with the plan from its input, and writes {@link Message}s. When its input ends, who asked is gone,
 * and it ends too.
 */
public final class BenchWorker {

    private static final int FAILED = 1;

    private BenchWorker() {}

    /**
     * Measures.
     *
     * @param args a directory for what is quantized with calibration; it need not be there
     */
    public static void main(String[] args) throws IOException {
        PrintStream messages = System.out;
        System.setOut(System.err); // whatever a library prints is no message
        BufferedReader asked = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        BenchPlan plan = Message.JSON.fromJson(asked.readLine(), BenchPlan.class);
        Thread ends = new Thread(() -> endWith(asked));
        ends.setDaemon(true);
        ends.start();
        int code = 0;
        try {
            if (plan.threads() > 0) {
                Torch.setThreads(plan.threads());
            }
            new SchemeBench(plan, Path.of(args[0]), message -> send(messages, message)).run();
        } catch (RuntimeException | Error e) {
            e.printStackTrace();
            send(messages, Message.failed(why(e)));
            code = FAILED;
        }
        messages.flush();
        System.exit(code);
    }

    private static void send(PrintStream messages, Message message) {
        messages.println(message.line());
        messages.flush();
    }

    /** An error in a phrase. */
    static String why(Throwable problem) {
        String message = problem.getMessage();
        if (problem instanceof QloraException) {
            return message;
        }
        if (problem instanceof OutOfMemoryError) {
            return "the Java heap of " + (Runtime.getRuntime().maxMemory() >> 20)
                    + " MB is full (QLORA4J_JAVA_OPTS=-Xmx)";
        }
        return message == null || message.isBlank()
                ? problem.getClass().getSimpleName()
                : message.lines().findFirst().orElseThrow();
    }

    private static void endWith(BufferedReader asked) {
        try {
            while (asked.readLine() != null) {
                // nothing more is asked
            }
        } catch (IOException e) {
            // gone as well
        }
        Runtime.getRuntime().halt(FAILED);
    }
}
