package damage;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentLinkedDeque;

/**
 * Starts JVMs of many inputs each, sees those that crash or hang, and counts. {@code scripts/faults/damage} starts it and
 * explains its options.
 */
public final class Supervisor {

    private static final int INPUTS_A_JVM = 500;

    /** Of the processor's time, as the machine may have other work. */
    private static final Duration HANGS = Duration.ofSeconds(60);

    /** Half-seconds in which nothing comes: a process that waits for something takes no time of the processor. */
    private static final int MOST_WAITS = 600;

    private final Options options;
    private final Deque<List<Integer>> chunks = new ConcurrentLinkedDeque<>();
    private final Map<String, Map<String, Integer>> counts = new TreeMap<>();
    private final List<String> failures = new ArrayList<>();
    private double slowest;
    private String slowestInput = "";
    private long largestGrowth;

    private record Options(long seed, int from, int inputs, int jvms, String only, int one, Path golden, Path work, String heap) {}

    private Supervisor(Options options) {
        this.options = options;
    }

    /** Runs them all; exit code 1 where an input failed. */
    public static void main(String[] args) throws Exception {
        long seed = 1;
        int inputs = 10_000;
        int jvms = 2;
        String only = "";
        int one = -1;
        int from = 0;
        for (int i = 2; i + 1 < args.length; i += 2) {
            switch (args[i]) {
                case "--seed" -> seed = Long.parseLong(args[i + 1]);
                case "--inputs" -> inputs = Integer.parseInt(args[i + 1]);
                case "--from" -> from = Integer.parseInt(args[i + 1]);
                case "--jvms" -> jvms = Integer.parseInt(args[i + 1]);
                case "--only" -> only = args[i + 1];
                case "--case" -> one = Integer.parseInt(args[i + 1]);
                default -> throw new IllegalArgumentException("unknown option " + args[i]);
            }
        }
        Options options = new Options(seed, from, inputs, jvms, only, one, Path.of(args[0]), Path.of(args[1]), "256m");
        System.exit(new Supervisor(options).run() ? 0 : 1);
    }

    private boolean run() throws Exception {
        long start = System.nanoTime();
        List<Kind> kinds = Kind.all(new byte[0]);
        if (!options.only.isEmpty() && kinds.stream().noneMatch(k -> k.name().equals(options.only))) {
            throw new IllegalArgumentException("--only takes one of " + kinds.stream().map(Kind::name).toList());
        }
        List<Integer> inputs = new ArrayList<>();
        for (int i = options.from; options.one < 0 && inputs.size() < options.inputs; i++) {
            if (options.only.isEmpty() || Worker.kind(kinds, i).name().equals(options.only)) {
                inputs.add(i);
            }
        }
        if (options.one >= 0) {
            inputs.add(options.one);
        }
        for (int i = 0; i < inputs.size(); i += INPUTS_A_JVM) {
            chunks.add(inputs.subList(i, Math.min(inputs.size(), i + INPUTS_A_JVM)));
        }
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < Math.min(options.jvms, chunks.size()); i++) {
            Path home = options.work.resolve("jvm" + i);
            Fixture.delete(home.resolve("whole"));
            boolean prove = i == 0;
            Thread thread = new Thread(() -> work(home, prove));
            thread.start();
            threads.add(thread);
        }
        for (Thread thread : threads) {
            thread.join();
        }
        report(kinds, (System.nanoTime() - start) / 1e9);
        return failures.isEmpty();
    }

    private void work(Path home, boolean prove) {
        boolean first = prove;
        try {
            for (List<Integer> chunk = chunks.poll(); chunk != null; chunk = chunks.poll()) {
                for (List<Integer> left = chunk; !left.isEmpty(); ) {
                    left = jvm(home, first, left);
                    first = false;
                }
            }
        } catch (IOException | InterruptedException | RuntimeException e) {
            failed("the harness itself: " + e);
        }
    }

    /** Runs one JVM; gives the inputs that are left because it crashed or hung. */
    private List<Integer> jvm(Path home, boolean prove, List<Integer> inputs) throws IOException, InterruptedException {
        Files.createDirectories(home.resolve("files"));
        Path errors = home.resolve("stderr");
        List<String> command = new ArrayList<>(List.of(
                ProcessHandle.current().info().command().orElse("java"),
                "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xss4m", "-Xmx" + options.heap, "-Djava.awt.headless=true",
                "-cp", System.getProperty("java.class.path"), Worker.class.getName(),
                String.valueOf(options.seed), options.golden.toString(), String.valueOf(prove), String.valueOf(options.one >= 0)));
        inputs.forEach(i -> command.add(String.valueOf(i)));
        ProcessBuilder builder = new ProcessBuilder(command)
                .directory(home.resolve("files").toFile())
                .redirectError(errors.toFile());
        builder.environment().put("OMP_NUM_THREADS", "1");
        Process process = builder.start();
        Watch watch = new Watch(process);
        watch.start();
        int next = 0;
        long ready = 0;
        String begun = "it started";
        String said = "";
        try (BufferedReader lines = process.inputReader(StandardCharsets.UTF_8)) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                watch.input();
                if (line.startsWith("READY ")) {
                    ready = Long.parseLong(line.substring(6));
                } else if (line.startsWith("BEGIN ")) {
                    begun = line.substring(6);
                    said = "";
                    tell(begun);
                } else if (line.startsWith("SAID ")) {
                    said += "    " + line.substring(5).replace("\\n", "\n    ") + "\n";
                    tell(line.substring(5).replace("\\n", "\n"));
                } else if (line.startsWith("END ")) {
                    next++;
                    ended(line.split(" ", 5), begun, said);
                } else if (line.startsWith("DONE ")) {
                    grew(Long.parseLong(line.substring(5)) - ready);
                }
            }
        } catch (IOException e) {
            if (!watch.killed) {
                throw e;
            }
        }
        process.waitFor();
        watch.stopped();
        if (next == inputs.size()) {
            return List.of();
        }
        if (ready == 0) {
            throw new IllegalStateException("a JVM did not come up:\n" + Files.readString(errors));
        }
        count(begun, "FAILURE");
        failed(begun + "\n    " + (watch.killed ? "hangs" : "ends the JVM with exit code " + process.exitValue()) + "\n    "
                + tail(errors).replace("\n", "\n    "));
        return inputs.subList(next + 1, inputs.size());
    }

    private void tell(String text) {
        if (options.one >= 0) {
            System.out.println(text);
        }
    }

    private synchronized void ended(String[] end, String begun, String said) {
        count(begun, end[2]);
        double seconds = Double.parseDouble(end[3]);
        if (seconds > slowest) {
            slowest = seconds;
            slowestInput = begun;
        }
        if (end[2].equals("FAILURE")) {
            failed(begun + "\n    " + end[4].replace("\\n", "\n    ") + "\n" + said);
        }
    }

    private synchronized void count(String begun, String how) {
        counts.computeIfAbsent(begun.split(" ")[1], k -> new TreeMap<>()).merge(how, 1, Integer::sum);
    }

    private synchronized void grew(long megabytes) {
        largestGrowth = Math.max(largestGrowth, megabytes);
    }

    private synchronized void failed(String text) {
        failures.add(text);
        System.out.println("FAILED " + text);
    }

    private static String tail(Path file) throws IOException {
        List<String> lines = Files.readAllLines(file);
        return String.join("\n", lines.subList(Math.max(0, lines.size() - 12), lines.size()));
    }

    private void report(List<Kind> kinds, double seconds) {
        System.out.printf("%n| kind | inputs | clear errors | correct runs | failures |%n| --- | --- | --- | --- | --- |%n");
        int[] totals = new int[4];
        for (Kind kind : kinds) {
            Map<String, Integer> of = counts.getOrDefault(kind.name(), Map.of());
            int[] row = {0, of.getOrDefault("ERROR", 0), of.getOrDefault("CORRECT", 0), of.getOrDefault("FAILURE", 0)};
            row[0] = row[1] + row[2] + row[3];
            for (int i = 0; i < totals.length; i++) {
                totals[i] += row[i];
            }
            System.out.printf(Locale.ROOT, "| %s | %,d | %,d | %,d | %,d |%n", kind.name(), row[0], row[1], row[2], row[3]);
        }
        System.out.printf(Locale.ROOT, "| **all** | %,d | %,d | %,d | %,d |%n", totals[0], totals[1], totals[2], totals[3]);
        System.out.printf(
                Locale.ROOT,
                "%nseed %d, %.0f s, %d JVMs at a time of up to %d inputs each with a heap of %s; the slowest input took %.1f s (%s);"
                        + " no JVM grew by more than %d MB over its inputs%n",
                options.seed, seconds, options.jvms, INPUTS_A_JVM, options.heap, slowest, slowestInput, largestGrowth);
    }

    /** Ends a JVM whose input takes more of the processor than any may. */
    private static final class Watch extends Thread {

        private final Process process;
        private volatile Duration since = Duration.ZERO;
        private volatile boolean killed;
        private volatile boolean over;

        Watch(Process process) {
            this.process = process;
            setDaemon(true);
        }

        void input() {
            since = used();
        }

        void stopped() {
            over = true;
        }

        private Duration used() {
            return process.info().totalCpuDuration().orElse(Duration.ZERO);
        }

        @Override
        public void run() {
            // Counted, not timed: where the whole machine stands still, so does this.
            int waited = 0;
            Duration last = since;
            while (!over && process.isAlive()) {
                waited = since.equals(last) ? waited + 1 : 0;
                last = since;
                if (waited > MOST_WAITS || used().minus(since).compareTo(HANGS) > 0) {
                    killed = true;
                    process.destroyForcibly();
                    return;
                }
                try {
                    Thread.sleep(500);
                } catch (InterruptedException e) {
                    return;
                }
            }
        }
    }
}
