package damage;

import io.github.qlora4j.quant.torch.Torch;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/**
 * One JVM of many inputs. Its current directory is where the files are; arguments: the seed, the golden files, and the
 * numbers of the inputs. It tells on stdout, a line each, which input begins and how it ended.
 */
public final class Worker {

    /** What one input may make the process grow by; whole files need a tenth of it. */
    private static final long MOST_RESIDENT = 400L << 20;

    private static final long MOST_VIRTUAL = 1L << 30;

    private final long seed;
    private final Path whole = Path.of("").toAbsolutePath().resolveSibling("whole");
    private final Path home = Path.of("").toAbsolutePath();
    private final PrintStream told = System.out;
    private List<Kind> kinds;

    private Worker(long seed) {
        this.seed = seed;
    }

    /** Runs; the supervisor starts it. */
    public static void main(String[] args) throws Exception {
        Worker worker = new Worker(Long.parseLong(args[0]));
        System.setOut(new PrintStream(java.io.OutputStream.nullOutputStream()));
        worker.prepare(Path.of(args[1]), Boolean.parseBoolean(args[2]));
        boolean loud = Boolean.parseBoolean(args[3]);
        for (int i = 4; i < args.length; i++) {
            worker.input(Integer.parseInt(args[i]), loud);
        }
        worker.told.println("DONE " + Memory.resident() / (1 << 20));
    }

    /** The kind of an input: every hundred and some inputs hold each kind as often as its share says. */
    static Kind kind(List<Kind> kinds, int input) {
        int shares = kinds.stream().mapToInt(Kind::share).sum();
        // a step that has no common factor with the number of shares visits all of them
        int at = (int) ((long) input * 41 % shares);
        for (Kind kind : kinds) {
            at -= kind.share();
            if (at < 0) {
                return kind;
            }
        }
        throw new IllegalStateException();
    }

    private void prepare(Path golden, boolean prove) throws Exception {
        System.setProperty("log4j2.configurationFile", "classpath:io/github/qlora4j/trainer/cli/log4j2-cli.xml");
        Torch.setThreads(1);
        if (!Files.exists(whole.resolve("run.yaml"))) {
            Fixture.empty(home);
            Fixture.make(golden);
            Fixture.copy(home, whole);
        }
        kinds = Kind.all(Files.readAllBytes(whole.resolve("adapter/adapter_model.safetensors")));
        if (prove) {
            prove();
        }
        told.println("READY " + Memory.resident() / (1 << 20));
    }

    private void prove() throws Exception {
        restore();
        // What is done with damaged files must go well with whole ones, or it would prove nothing.
        for (Kind kind : kinds) {
            SplittableRandom random = new SplittableRandom(seed);
            Kind.Done done = kind.damager().damage(random);
            for (Probe probe : kind.probes().of(done)) {
                restore();
                Run run = probe.action().get();
                List<String> problems = new ArrayList<>(Judge.problems(run, List.of()));
                problems.addAll(probe.check().problems(run));
                if (run.code() != 0 || !problems.isEmpty()) {
                    throw new IllegalStateException(
                            "with undamaged files, " + probe.name() + " ends so: " + problems + "\n" + run.err() + run.odd());
                }
            }
        }
    }

    private void restore() throws IOException {
        Fixture.empty(home);
        Fixture.copy(whole, home);
    }

    private void input(int number, boolean loud) throws Exception {
        restore();
        Kind kind = kind(kinds, number);
        SplittableRandom random = new SplittableRandom(seed * 0x9E3779B97F4A7C15L + number);
        Kind.Done done = kind.damager().damage(random);
        List<Probe> probes = kind.probes().of(done);
        Probe probe = probes.get(random.nextInt(probes.size()));
        told.println("BEGIN " + number + " " + kind.name() + " " + flat(done.file() + ": " + done.what() + "; " + probe.name()));
        told.flush();
        Memory before = Memory.begin();
        long start = System.nanoTime();
        Run run = probe.action().get();
        double seconds = (System.nanoTime() - start) / 1e9;
        List<String> problems = new ArrayList<>(Judge.problems(run, kind.names(done)));
        Memory grown = before.grown();
        if (grown.resident0() > MOST_RESIDENT || grown.virtual0() > MOST_VIRTUAL) {
            problems.add("the process grew by " + (grown.resident0() >> 20) + " MB, its address space by " + (grown.virtual0() >> 20) + " MB");
        }
        try {
            problems.addAll(probe.check().problems(run));
        } catch (Exception e) {
            problems.add("what it left cannot be looked at: " + e);
        }
        if (loud) {
            told.println("SAID " + flat(run.out()));
        }
        if (loud || !problems.isEmpty()) {
            told.println("SAID " + flat("exit " + run.code() + ": " + run.err()));
        }
        String end = problems.isEmpty() ? run.code() == 0 ? "CORRECT" : "ERROR" : "FAILURE";
        told.println("END " + number + " " + end + " " + String.format("%.3f", seconds) + " " + flat(String.join("; ", problems)));
        told.flush();
    }

    private static String flat(String text) {
        String cut = text.length() > 5000 ? text.substring(0, 5000) + "…" : text;
        return cut.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\u001b", "\\e");
    }
}
