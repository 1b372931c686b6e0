package io.github.qlora4j.trainer.bench;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.Reason;
import io.github.qlora4j.quant.internal.Unfinished;
import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.ObjLongConsumer;

/** The JVM that measures one scheme, as it is seen from here. */
final class BenchProcess {

    private final BenchPlan plan;
    private final Path work;
    private final List<Pass> forward = new ArrayList<>();
    private final List<Generation> generation = new ArrayList<>();
    private Loaded loaded;
    private String failed;
    private String doing = "starting";

    /** For a plan with one scheme. */
    BenchProcess(BenchPlan plan, Path work) {
        this.plan = plan;
        this.work = work;
    }

    /**
     * Starts it and waits until it has ended, however that is.
     *
     * @param progress is told what is measured, and how much work is done
     */
    SchemeFigures run(ObjLongConsumer<String> progress) {
        Path errors = work.resolveSibling(work.getFileName() + ".log");
        try {
            Process process =
                    new ProcessBuilder(command()).redirectError(errors.toFile()).start();
            Unfinished.add(process);
            try (BufferedWriter in = new BufferedWriter(
                            new OutputStreamWriter(process.getOutputStream(), StandardCharsets.UTF_8));
                    BufferedReader out = new BufferedReader(
                            new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
                in.write(Message.JSON.toJson(plan) + "\n");
                in.flush();
                for (String line = out.readLine(); line != null; line = out.readLine()) {
                    take(Message.read(line), progress);
                }
                end(process.waitFor(), errors);
            } finally {
                process.destroyForcibly();
                Unfinished.remove(process);
            }
            return figures();
        } catch (IOException e) {
            throw new QloraException("a JVM for " + name() + " cannot be run: " + Reason.of(e), e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new QloraException("interrupted while measuring " + name(), e);
        } finally {
            errors.toFile().delete();
        }
    }

    private String name() {
        return plan.schemes().get(0).key();
    }

    private List<String> command() {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        for (String option : ManagementFactory.getRuntimeMXBean().getInputArguments()) {
            // a debugger or an agent of this JVM is not the other's
            if (!option.startsWith("-agentlib")
                    && !option.startsWith("-javaagent")
                    && !option.startsWith("-Xrunjdwp")) {
                command.add(option);
            }
        }
        command.addAll(List.of(
                "-cp",
                System.getProperty("java.class.path"),
                BenchWorker.class.getName(),
                work.toAbsolutePath().toString()));
        return command;
    }

    private void take(Message message, ObjLongConsumer<String> progress) {
        if (message.doing() != null) {
            doing = message.doing();
            progress.accept(doing, message.done());
        } else if (message.loaded() != null) {
            loaded = message.loaded();
        } else if (message.forward() != null) {
            forward.add(message.forward());
        } else if (message.generation() != null) {
            generation.add(message.generation());
        } else {
            failed = message.failed();
        }
    }

    /** What a process that ended without being done leaves open gets its reason. */
    private void end(int code, Path errors) throws IOException {
        if (code == 0) {
            return;
        }
        if (Unfinished.isEnding()) {
            throw new QloraException("ended while measuring " + name());
        }
        if (failed == null) {
            failed = "the JVM ended with exit code " + code + " at \"" + doing + "\""
                    + (code == 137 ? ": killed, most likely for lack of memory" : lastLine(errors));
        }
    }

    private static String lastLine(Path errors) throws IOException {
        List<String> lines = Files.readAllLines(errors, StandardCharsets.ISO_8859_1);
        return lines.isEmpty() ? "" : ": " + lines.get(lines.size() - 1);
    }

    private SchemeFigures figures() {
        if (failed != null && loaded != null) {
            for (BenchPlan.Cell cell : plan.cells()) {
                if (generation.stream().noneMatch(g -> g.batch() == cell.batch() && g.length() == cell.length())) {
                    generation.add(Generation.skipped(cell, plan.newTokens(), failed));
                }
                if (forward.stream().noneMatch(f -> f.batch() == cell.batch() && f.length() == cell.length())) {
                    forward.add(Pass.skipped(cell, failed));
                }
            }
        }
        return new SchemeFigures(name(), loaded, loaded == null ? failed : null, forward, generation);
    }
}
