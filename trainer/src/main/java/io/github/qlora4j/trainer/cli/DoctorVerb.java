package io.github.qlora4j.trainer.cli;

import ai.djl.util.Utils;
import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.bitsandbytes.CpuLibrary;
import io.github.qlora4j.quant.bitsandbytes.LibrarySearch;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.config.Precision;
import io.github.qlora4j.trainer.model.ComputeDtype;
import io.github.qlora4j.trainer.report.Figures;
import io.github.qlora4j.trainer.report.Rss;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code doctor}: what this machine offers, and what is missing. */
@Command(
        name = "doctor",
        description =
                "Shows the engine, the native libraries and where they were looked for, versions, CPU features, GPUs,"
                        + " memory and disk, with one remedy for each problem. Exit code 1 where qlora4j cannot run.")
final class DoctorVerb extends Verb {
    private static final Set<String> FEATURES =
            Set.of("avx2", "fma", "avx512f", "avx512bw", "avx512_bf16", "amx_bf16", "amx_tile", "bf16", "asimd", "sve");
    private static final long SMALL_DISK = 2_000_000_000L;

    @Option(names = "--json", description = "One JSON object.")
    private boolean json;

    @Override
    public Integer call() {
        List<Finding> findings = new ArrayList<>();
        findings.add(Finding.fine("qlora4j", Version.qlora4j()));
        findings.add(Finding.fine(
                "java",
                Runtime.version() + ", heap "
                        + Figures.bytes(Runtime.getRuntime().maxMemory())));
        findings.add(Finding.fine(
                "system",
                System.getProperty("os.name") + " " + System.getProperty("os.version") + ", "
                        + System.getProperty("os.arch") + ", "
                        + Runtime.getRuntime().availableProcessors() + " cores"));
        Finding engine = engine();
        findings.add(engine);
        LibrarySearch search = LibrarySearch.result();
        findings.add(bitsandbytes(search));
        findings.add(cpu());
        ComputeDtype compute = ComputeDtype.of(Precision.AUTO);
        findings.add(Finding.fine("compute dtype", compute.dtype().torchName() + " (" + compute.reason() + ")"));
        findings.add(gpu());
        findings.add(memory());
        findings.add(disk("engine cache", Utils.getEngineCacheDir()));
        findings.add(disk("temporary files", Path.of(System.getProperty("java.io.tmpdir"))));
        if (json) {
            printJson(findings, search);
        } else {
            print(findings, search);
        }
        return engine.ok() ? Main.OK : Main.FAILED;
    }

    private void print(List<Finding> findings, LibrarySearch search) {
        for (Finding finding : findings) {
            out().printf("%-4s %-16s %s%n", finding.ok() ? "ok" : "!!", finding.name(), finding.value());
            if (finding.name().equals("bitsandbytes")) {
                search.attempts().forEach(attempt -> out().println("       looked at " + attempt));
            }
            if (!finding.ok()) {
                out().println("       remedy: " + finding.remedy());
            }
        }
    }

    private void printJson(List<Finding> findings, LibrarySearch search) {
        JsonObject object = new JsonObject();
        object.addProperty("ok", findings.stream().allMatch(Finding::ok));
        JsonArray list = new JsonArray();
        findings.forEach(finding -> list.add(finding.json()));
        object.add("findings", list);
        JsonArray tried = new JsonArray();
        search.attempts().forEach(attempt -> tried.add(attempt.toString()));
        object.add("bitsandbytes_tried", tried);
        out().println(object);
    }

    private static Finding engine() {
        String versions = "DJL " + Version.djl() + ", PyTorch " + Version.pytorch();
        try {
            Torch.start();
            return Finding.fine("engine", versions + ", " + Torch.threads() + " threads");
        } catch (RuntimeException | LinkageError e) {
            return Finding.problem(
                    "engine",
                    versions + " does not start: "
                            + String.valueOf(e.getMessage()).lines().findFirst().orElse(""),
                    "check that " + Utils.getEngineCacheDir() + " can be written and that the libraries are for "
                            + System.getProperty("os.name") + " " + System.getProperty("os.arch")
                            + "; --verbose shows more");
        }
    }

    private static Finding bitsandbytes(LibrarySearch search) {
        if (search.library() == null) {
            return Finding.problem(
                    "bitsandbytes",
                    "not found; the built-in kernel gives the same bytes, slower",
                    LibrarySearch.REMEDY);
        }
        String value = search.library() + ", made for " + LibrarySearch.VERSION;
        return search.usable()
                ? Finding.fine(
                        "bitsandbytes", value + (CpuLibrary.hasAvx512Bf16() ? ", AVX-512 with bfloat16" : ", AVX-512"))
                : Finding.problem(
                        "bitsandbytes",
                        value + ", but this CPU lacks AVX-512; the built-in kernel is used",
                        "none on this CPU; quantization.kernel: builtin says so without a warning");
    }

    private static Finding cpu() {
        String info = text(Path.of("/proc/cpuinfo"));
        Set<String> found = new TreeSet<>(Arrays.asList(info.split("\\s+")));
        found.retainAll(FEATURES);
        String name = info.lines()
                .filter(line -> line.startsWith("model name"))
                .map(line -> line.substring(line.indexOf(':') + 1).strip())
                .findFirst()
                .orElse(System.getProperty("os.arch"));
        return Finding.fine("cpu", name + ", " + (found.isEmpty() ? "features unknown" : String.join(" ", found)));
    }

    /** Asks the driver's own tool whether there is a GPU; none is used yet. */
    private static Finding gpu() {
        try {
            Process process = new ProcessBuilder("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader")
                    .redirectErrorStream(true)
                    .start();
            process.getOutputStream().close();
            if (!process.waitFor(10, TimeUnit.SECONDS)) {
                process.destroyForcibly();
                return Finding.fine("gpu", "nvidia-smi does not answer");
            }
            String answer = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
            return Finding.fine(
                    "gpu",
                    process.exitValue() == 0
                            ? answer.replace("\n", "; ") + " (not used: this release computes on the CPU)"
                            : "none that nvidia-smi sees");
        } catch (IOException e) {
            return Finding.fine("gpu", "none (no nvidia-smi)");
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return Finding.fine("gpu", "not asked");
        }
    }

    private static Finding memory() {
        long free = Rss.freeBytes();
        String value = free == 0
                ? "unknown"
                : Figures.bytes(free) + " free of " + Figures.bytes(Rss.totalBytes()) + "; this process "
                        + (Rss.bytes() == 0 ? "unknown" : Figures.bytes(Rss.bytes()));
        return Finding.fine("memory", value);
    }

    private static Finding disk(String name, Path path) {
        Path there = path.toAbsolutePath();
        while (there != null && !Files.exists(there)) {
            there = there.getParent();
        }
        try {
            long free = there == null ? 0 : Files.getFileStore(there).getUsableSpace();
            String value = path + ", " + Figures.bytes(free) + " free";
            if (there == null || !Files.isWritable(there)) {
                return Finding.problem(name, path + " cannot be written", "make it writable, or set DJL_CACHE_DIR");
            }
            return free < SMALL_DISK
                    ? Finding.problem(name, value, "free some space: " + Figures.bytes(SMALL_DISK) + " are wanted")
                    : Finding.fine(name, value);
        } catch (IOException e) {
            return Finding.problem(name, path + ": " + e.getMessage(), "check that the disk can be read");
        }
    }

    private static String text(Path file) {
        try {
            return Files.readString(file, StandardCharsets.ISO_8859_1);
        } catch (IOException e) {
            return "";
        }
    }
}
