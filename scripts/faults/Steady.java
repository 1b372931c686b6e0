import ai.djl.ndarray.BaseNDManager;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.config.RunConfig;
import io.github.qlora4j.trainer.report.Rss;
import io.github.qlora4j.trainer.report.StepMetrics;
import io.github.qlora4j.trainer.train.RunListener;
import io.github.qlora4j.trainer.train.Trainer;
import io.github.qlora4j.trainer.train.TrainingResult;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.lang.reflect.Field;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * Long runs, many runs, two at once, and cancelled ones, in one JVM; prints what memory and results were.
 *
 * <pre>java -cp "$(scripts/qlora --class-path)" scripts/faults/Steady.java [steps|cycles|threads|cancel] [N] [KEY=VALUE ...]</pre>
 *
 * <p>Without words all four, 2000 steps, 200 cycles, 5 pairs and 30 cancellations; keys change the runs' configuration. Set the launcher's environment for
 * figures like a user's, {@code MALLOC_ARENA_MAX=1}, and {@code -Xms256m -Xmx256m -XX:+AlwaysPreTouch}, or Java's own heap, which it
 * fills before it collects, is counted too. Exit code 1 where memory grows, a token costs more, or a result differs.
 */
public final class Steady {

    private static final long SEED = 42;
    private static final Path MODEL = Path.of("trainer/src/test/resources/golden/models/llama");
    private static final List<String> OPTIMIZERS =
            List.of("paged_adamw_32bit", "paged_adamw_8bit", "adamw_torch", "adamw_8bit");

    private final Path work;
    private final List<String> keys;
    private boolean wrong;

    private Steady(Path work, List<String> keys) {
        this.work = work;
        this.keys = keys;
    }

    public static void main(String[] args) throws Exception {
        Path work = Files.createTempDirectory("qlora4j-steady-");
        writeRows(work.resolve("rows.json"));
        Steady steady = new Steady(work, List.of(args).subList(Math.min(2, args.length), args.length));
        String only = args.length > 0 ? args[0] : "";
        int n = args.length > 1 ? Integer.parseInt(args[1]) : 0;
        if (only.isEmpty() || only.equals("steps")) {
            steady.steps(n > 0 ? n : 2000);
        }
        if (only.isEmpty() || only.equals("cycles")) {
            steady.cycles(n > 0 ? n : 200);
        }
        if (only.isEmpty() || only.equals("threads")) {
            steady.threads(n > 0 ? n : 5);
        }
        if (only.isEmpty() || only.equals("cancel")) {
            steady.cancel(n > 0 ? n : 30);
        }
        delete(work);
        System.exit(steady.wrong ? 1 : 0);
    }

    /** Rows of ever other lengths, so that each step has shapes that no step before it had. */
    private static void writeRows(Path file) throws IOException {
        Random random = new Random(SEED);
        List<String> rows = new ArrayList<>();
        for (int i = 0; i < 4096; i++) {
            rows.add("{\"instruction\": \"Count " + i + "\", \"input\": \"\", \"output\": \""
                    + "ab ".repeat(1 + random.nextInt(60)) + "\"}");
        }
        Files.writeString(file, "[" + String.join(",\n", rows) + "]");
    }

    private RunConfig config(Path output, int steps, String... keysAndValues) {
        var builder = RunConfig.builder()
                .setModel(MODEL)
                .setTrain(work.resolve("rows.json").toString())
                .setOutputDir(output)
                .optLoadIn4bit(true)
                .opt("lora.target_modules", "all-linear")
                .opt("lora.lora_dropout", 0.1)
                .opt("data.cache_dir", work.resolve("cache").toString())
                .opt("data.max_length", 256)
                .opt("training.threads", 1)
                .opt("training.max_steps", steps)
                .opt("training.per_device_train_batch_size", 2)
                .opt("training.gradient_accumulation_steps", 1)
                .opt("training.save_total_limit", 1);
        for (int i = 0; i < keysAndValues.length; i += 2) {
            builder.optFrom(keysAndValues[i] + "=" + keysAndValues[i + 1]);
        }
        keys.forEach(builder::optFrom);
        return builder.build();
    }

    private static TrainingResult train(RunConfig config, Trainer.Start start, RunListener listener) {
        return Trainer.builder()
                .setConfig(config)
                .optStart(start)
                .optListener(listener)
                .build()
                .train();
    }

    /** Arrays that the engine's root manager and all managers below it hold. */
    private static int arrays() {
        try (NDManager any = Torch.newManager()) {
            return arrays(any.getParentManager());
        }
    }

    /** DJL keeps the managers below a manager among its resources, out of reach of its API. */
    private static int arrays(NDManager manager) {
        try {
            Field field = BaseNDManager.class.getDeclaredField("resources");
            field.setAccessible(true);
            int count = manager.getManagedArrays().size();
            for (Object resource : ((Map<?, ?>) field.get(manager)).values()) {
                count += resource instanceof NDManager below ? arrays(below) : 0;
            }
            return count;
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Memory and the cost of a token within one long run. */
    private void steps(int n) {
        long[] rss = new long[n + 1];
        int[] managed = new int[n + 1];
        long[] tokens = new long[n + 1];
        double[] wall = new double[n + 1];
        long[] cpu = new long[n + 1];
        RunListener listener = new RunListener() {
            @Override
            public void step(StepMetrics step) {
                int at = (int) step.step();
                rss[at] = Rss.bytes();
                managed[at] = arrays();
                tokens[at] = tokens[at - 1] + step.tokens();
                wall[at] = wall[at - 1] + step.seconds();
                cpu[at] = processor();
            }
        };
        train(config(work.resolve("steps"), n, "training.save_steps", "250"), Trainer.Start.NEW, listener);
        double early = median(rss, n / 5, 2 * n / 5);
        double late = median(rss, n - n / 5, n);
        System.out.println("steps: resident MB, tenth by tenth: " + way(rss));
        report("steps", n, early, late, managed[n / 5], managed[n]);
        // the first steps, in which Java compiles, are left out
        int start = n / 20;
        int quarter = n / 4;
        double first = perToken(cpu[quarter] - cpu[start], tokens[quarter] - tokens[start]);
        double last = perToken(cpu[n] - cpu[n - quarter], tokens[n] - tokens[n - quarter]);
        // of the processor's time, as other programs may use the machine
        boolean constant = last < first * 1.1;
        wrong |= !constant;
        System.out.printf(
                "steps: a token takes %.4f ms of the processor (%.4f ms of the clock) in the first quarter, %.4f ms (%.4f ms) in the last; resident %.1f MB, then %.1f MB: %s%n",
                first,
                1e3 * (wall[quarter] - wall[start]) / (tokens[quarter] - tokens[start]),
                last,
                1e3 * (wall[n] - wall[n - quarter]) / (tokens[n] - tokens[n - quarter]),
                median(rss, start, quarter) / 1e6,
                median(rss, n - quarter, n) / 1e6,
                constant ? "constant" : "GROWS");
    }

    private static double perToken(long nanoseconds, long tokens) {
        return nanoseconds / 1e6 / tokens;
    }

    private static long processor() {
        return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean())
                .getProcessCpuTime();
    }

    /** Memory over many runs, each opened, trained, saved and closed. */
    private void cycles(int n) {
        long[] rss = new long[n + 1];
        int[] managed = new int[n + 1];
        for (int i = 1; i <= n; i++) {
            train(
                    config(work.resolve("cycle"), 2, "training.optim", OPTIMIZERS.get(i % OPTIMIZERS.size())),
                    Trainer.Start.OVERWRITE,
                    new RunListener() {});
            rss[i] = Rss.bytes();
            managed[i] = arrays();
        }
        double early = median(rss, n / 5, 2 * n / 5);
        double late = median(rss, n - n / 5, n);
        System.out.println("cycles: resident MB, tenth by tenth: " + way(rss));
        report("cycles", n, early, late, managed[n / 5], managed[n]);
    }

    /** Tenths of the way. */
    private static String way(long[] rss) {
        int n = rss.length - 1;
        return IntStream.range(0, 10)
                .mapToObj(i -> String.format("%.0f", median(rss, n * i / 10, n * (i + 1) / 10) / 1e6))
                .collect(Collectors.joining(" "));
    }

    private void report(String what, int n, double early, double late, int arraysEarly, int arraysLate) {
        boolean flat = late < early * 1.03 && arraysLate <= arraysEarly;
        wrong |= !flat;
        System.out.printf(
                "%s: %d; resident %.1f MB in the second fifth, %.1f MB in the last (%+.1f %%); arrays %d, then %d: %s%n",
                what,
                n,
                early / 1e6,
                late / 1e6,
                100 * (late / early - 1),
                arraysEarly,
                arraysLate,
                flat ? "flat" : "GROWS");
    }

    /** Pairs of runs at the same time, against each run alone. */
    private void threads(int pairs) throws Exception {
        int equal = 0;
        ExecutorService pool = Executors.newFixedThreadPool(2);
        for (int i = 0; i < pairs; i++) {
            List<RunConfig> configs = new ArrayList<>();
            List<byte[]> alone = new ArrayList<>();
            for (int k = 0; k < 2; k++) {
                String optimizer = OPTIMIZERS.get((i + k) % OPTIMIZERS.size());
                RunConfig single = config(
                        work.resolve("alone" + k), 10, "training.optim", optimizer, "training.seed", "" + (i + 10 * k));
                train(single, Trainer.Start.OVERWRITE, new RunListener() {});
                alone.add(adapter(single));
                configs.add(single.with("training.output_dir", work.resolve("pair" + k).toString()));
            }
            List<Future<TrainingResult>> both = new ArrayList<>();
            for (RunConfig config : configs) {
                both.add(pool.submit(() -> train(config, Trainer.Start.OVERWRITE, new RunListener() {})));
            }
            for (int k = 0; k < 2; k++) {
                both.get(k).get();
                boolean same = Arrays.equals(alone.get(k), adapter(configs.get(k)));
                equal += same ? 1 : 0;
                if (!same) {
                    System.out.println("threads: pair " + i + ", " + configs.get(k).training().optim() + ": other bytes");
                }
            }
        }
        int refused = 0;
        for (int i = 0; i < pairs; i++) {
            RunConfig same = config(work.resolve("same" + i), 10);
            Future<TrainingResult> first = pool.submit(() -> train(same, Trainer.Start.NEW, new RunListener() {}));
            Future<TrainingResult> second = pool.submit(() -> train(same, Trainer.Start.NEW, new RunListener() {}));
            for (Future<TrainingResult> one : List.of(first, second)) {
                try {
                    one.get();
                } catch (java.util.concurrent.ExecutionException e) {
                    refused += e.getCause().getMessage().contains("another run is writing to")
                                    || e.getCause().getMessage().contains("holds a run already")
                            ? 1
                            : 0;
                }
            }
        }
        pool.shutdown();
        wrong |= equal < 2 * pairs || refused < pairs;
        System.out.printf(
                "threads: %d pairs at once, %d of %d adapters equal to a single run's; %d pairs on one directory, %d told off%n",
                pairs, equal, 2 * pairs, pairs, refused);
    }

    /** Runs that another thread cancels at random moments, each gone on with until it is done. */
    private void cancel(int n) throws Exception {
        RunConfig config = config(work.resolve("whole"), 30, "training.save_steps", "7");
        train(config, Trainer.Start.NEW, new RunListener() {});
        byte[] whole = adapter(config);
        Random random = new Random(SEED);
        int cancelled = 0;
        int runs = 0;
        int equal = 0;
        int saved = 0;
        while (cancelled < n) {
            RunConfig parts = config.with("training.output_dir", work.resolve("parts").toString());
            boolean finished = false;
            Trainer.Start start = Trainer.Start.OVERWRITE;
            while (!finished) {
                Trainer trainer =
                        Trainer.builder().setConfig(parts).optStart(start).build();
                long wait = 300 + random.nextInt(1200);
                Thread other = new Thread(() -> {
                    try {
                        Thread.sleep(wait);
                        trainer.cancel();
                    } catch (InterruptedException e) {
                        Thread.currentThread().interrupt();
                    }
                });
                other.start();
                TrainingResult result = trainer.train();
                other.interrupt();
                other.join();
                finished = result.finished();
                if (!finished) {
                    cancelled++;
                    saved += Files.isDirectory(work.resolve("parts").resolve("checkpoint-" + result.steps())) ? 1 : 0;
                }
                start = Trainer.Start.RESUME;
            }
            runs++;
            equal += Arrays.equals(whole, adapter(parts)) ? 1 : 0;
        }
        wrong |= equal < runs || saved < cancelled;
        System.out.printf(
                "cancel: %d cancellations, %d of them with a checkpoint of their last step; %d of %d runs end with an unbroken run's adapter (seed %d)%n",
                cancelled, saved, equal, runs, SEED);
    }

    private static byte[] adapter(RunConfig config) throws IOException {
        return Files.readAllBytes(config.training().outputDir().resolve("adapter_model.safetensors"));
    }

    /** Of the values after {@code from}, up to {@code to}. */
    private static double median(long[] values, int from, int to) {
        long[] part = Arrays.copyOfRange(values, from + 1, to + 1);
        Arrays.sort(part);
        return part[part.length / 2];
    }

    private static void delete(Path directory) throws IOException {
        try (Stream<Path> all = Files.walk(directory)) {
            for (Path path : all.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(path);
            }
        }
    }
}
