package io.github.qlora4j.trainer.cli;

import com.google.gson.GsonBuilder;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.NewDirectory;
import io.github.qlora4j.trainer.bench.Bench;
import io.github.qlora4j.trainer.bench.BenchFiles;
import io.github.qlora4j.trainer.bench.BenchPlan;
import io.github.qlora4j.trainer.bench.BenchReport;
import io.github.qlora4j.trainer.bench.BenchScheme;
import io.github.qlora4j.trainer.compare.ComparisonFiles;
import io.github.qlora4j.trainer.config.Precision;
import io.github.qlora4j.trainer.report.Figures;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code bench}: what schemes cost a model in time and memory. */
@Command(
        name = "bench",
        description =
                "Measures a model as it is and quantized: speed of quantizing, size, the time of forward passes and of"
                        + " generation, and the most memory each takes. Each scheme is measured in a process of its own.",
        footer = {
            "Schemes: stored (the model as it is), float32, bfloat16, float16, nf4, nf4-double, fp4, fp4-double,",
            "int8, gptq, awq. gptq and awq are calibrated with random tokens first, which takes long.",
            "A model that is quantized already is measured as it is.",
            "DIR gets bench.md with tables and pictures, and bench.json. Nothing else should run meanwhile.",
            "Example: qlora bench --model models/llama --lengths 32,512,2048 --batches 1,4,16 --output benched"
        })
final class BenchVerb extends Verb {
    @Option(names = "--model", required = true, paramLabel = "DIR", description = "The model.")
    private Path model;

    @Option(
            names = "--schemes",
            split = ",",
            paramLabel = "NAME",
            description = "Names with commas between; stored,nf4,nf4-double,fp4,int8 by default.")
    private List<String> schemes = List.of();

    @Option(
            names = "--lengths",
            split = ",",
            paramLabel = "N",
            description = "Tokens of a row, and of a prompt; 32,128,512 by default.")
    private List<Integer> lengths = BenchPlan.LENGTHS;

    @Option(
            names = "--batches",
            split = ",",
            paramLabel = "N",
            description = "Rows that go together, in a forward pass and in generation; 1,4 by default.")
    private List<Integer> batches = BenchPlan.BATCHES;

    @Option(
            names = "--rounds",
            paramLabel = "N",
            description = "How often each thing is measured, after once that does not count; 3 by default.")
    private int rounds = 3;

    @Option(
            names = "--new-tokens",
            paramLabel = "N",
            description = "Tokens that are generated behind each prompt; 32 by default.")
    private int newTokens = 32;

    @Option(
            names = "--compute-dtype",
            paramLabel = "DTYPE",
            description = "Dtype of 4-bit products: auto (the default), float32, bfloat16 or float16.")
    private Precision compute;

    @Option(names = "--threads", paramLabel = "N", description = "Threads of the products; all cores by default.")
    private Integer threads;

    @Option(names = "--output", required = true, paramLabel = "DIR", description = "Must not exist, or be empty.")
    private Path output;

    @Option(names = "--json", description = "One JSON object.")
    private boolean json;

    @Override
    public Integer call() throws IOException {
        BenchPlan plan = plan();
        BenchReport report;
        try (NewDirectory directory = NewDirectory.begin(output, 0)) {
            report = measure(plan, directory.path());
            BenchFiles.write(directory.path(), report);
            directory.finish();
        }
        if (json) {
            out().println(new GsonBuilder().serializeNulls().create().toJson(BenchFiles.json(report)));
        } else {
            BenchFiles.notes(report).forEach(out()::println);
            for (BenchFiles.Table table : BenchFiles.tables(report)) {
                out().println("\n" + table.title());
                ComparisonFiles.columns(table.rows()).forEach(out()::println);
            }
            List<String> skipped = BenchFiles.skipped(report);
            if (!skipped.isEmpty()) {
                out().println("\nNot measured");
                skipped.forEach(out()::println);
            }
        }
        say("tables and pictures: " + output.resolve("bench.md"));
        boolean nothing = report.schemes().stream().allMatch(scheme -> scheme.loaded() == null);
        return nothing ? Main.FAILED : Main.OK;
    }

    private BenchPlan plan() {
        if (threads != null && threads < 1) {
            throw new WrongUse("--threads is " + threads + "; at least 1 is expected");
        }
        List<BenchScheme> wanted;
        try {
            wanted = schemes.stream()
                    .map(name -> BenchScheme.ofKey(name.strip()))
                    .toList();
        } catch (QloraException e) {
            throw new WrongUse(e);
        }
        List<BenchScheme> all = wanted.isEmpty() ? Bench.schemes(model) : wanted;
        try {
            return new BenchPlan(
                    model.toString(),
                    all,
                    lengths,
                    batches,
                    rounds,
                    newTokens,
                    Objects.requireNonNullElse(compute, Precision.AUTO),
                    Objects.requireNonNullElse(threads, 0));
        } catch (QloraException e) {
            throw new WrongUse(e);
        }
    }

    private BenchReport measure(BenchPlan plan, Path work) {
        int[] told = {0};
        try {
            return Bench.run(plan, work, (number, what, secondsLeft) -> {
                String left = secondsLeft < 0 ? "" : "  about " + Figures.duration(secondsLeft) + " left";
                String scheme = plan.schemes().get(number - 1).key() + " (" + number + "/"
                        + plan.schemes().size() + ")";
                if (told[0] < number) {
                    told[0] = number;
                    say("measuring " + scheme + "..." + left);
                }
                terminal().live(scheme + "  " + what + left);
            });
        } finally {
            terminal().live("");
        }
    }
}
