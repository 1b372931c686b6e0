package damage;

import ai.djl.ndarray.NDManager;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.github.qlora4j.peft.Adapter;
import io.github.qlora4j.quant.FourBitCheckpoint;
import io.github.qlora4j.quant.KernelChoice;
import io.github.qlora4j.quant.Kernels;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.safetensors.SafetensorsFile;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.config.ConfigFile;
import io.github.qlora4j.trainer.model.BaseModel;
import io.github.qlora4j.trainer.model.BaseOptions;
import io.github.qlora4j.trainer.model.ModelConfig;
import io.github.qlora4j.trainer.model.Modules;
import io.github.qlora4j.trainer.report.MetricsFile;
import io.github.qlora4j.trainer.tokenizer.Tokenizer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Supplier;

/** Something that is done with the files, and what must be there when it says that it went well, and when not. */
record Probe(String name, Supplier<Run> action, Check check) {

    /** Looks at what a run left; gives what is wrong with it. */
    interface Check {
        List<String> problems(Run run) throws Exception;
    }

    private static Probe command(Check check, String... args) {
        return new Probe(String.join(" ", args), () -> Run.of(args), check);
    }

    private static Probe call(String name, Run.Call call) {
        return new Probe(name, () -> Run.of(name, call), run -> List.of());
    }

    static Probe inspect(String path) {
        return command(run -> nothingNew(), "inspect", path);
    }

    static Probe plan(String... args) {
        return command(run -> nothingNew(), with("plan", args));
    }

    static Probe preview() {
        return command(run -> nothingNew(), "preview", "run.yaml", "--ids", "--rows", "9");
    }

    static Probe generate(String... args) {
        return command(
                run -> nothingNew(),
                with("generate", with("--prompt", with("hello", with("--max-new-tokens", with("4", args))))));
    }

    static Probe eval(String model, String rows) {
        return command(run -> nothingNew(), "eval", "--model", model, "--data", rows, "--json", "--max-length", "64");
    }

    static Probe score(String... args) {
        Path out = Path.of("out/scores.jsonl");
        return command(
                run -> run.code() == 0 ? scores(out) : nothingNew(),
                with("score", with("--data", with("texts.jsonl", with("--output", with(out.toString(), args))))));
    }

    static Probe quantize(String model, String... more) {
        return command(run -> model(run, "out/q"), with("quantize", with("--model", with(model, with("--output", with("out/q", more))))));
    }

    static Probe compare(String model) {
        return command(
                run -> run.code() == 0 ? compared(Path.of("out/c")) : nothingNew(),
                "compare", "--model", model, "--schemes", "absmax,nf4", "--data", "rows.json", "--output", "out/c", "--json");
    }

    static Probe merge(String model, String adapter) {
        return command(
                run -> model(run, "out/m"), "merge", "--model", model, "--adapter", adapter, "--output", "out/m");
    }

    /** One step on a model, from the beginning. */
    static Probe train(String... sets) {
        List<String> args = new ArrayList<>(List.of("train", "run.yaml"));
        for (String set : with("training.max_steps=1", with("training.threads=1", sets))) {
            args.addAll(List.of("--set", set));
        }
        return command(Probe::newRun, args.toArray(String[]::new));
    }

    /** Goes on from what a killed run left; {@code bytes} is what an unbroken run ends with. */
    static Probe resume(byte[] bytes, boolean sameBytes) {
        return command(
                run -> resumed(run, bytes, sameBytes),
                "train",
                "run.yaml",
                "--resume",
                "--set",
                "training.output_dir=runs/broken");
    }

    static Probe readTensors(String directory) {
        return call("ModelDirectory.open(" + directory + ") and read", () -> {
            try (ModelDirectory model = ModelDirectory.open(Path.of(directory));
                    NDManager manager = Torch.newManager()) {
                for (String name : model.names()) {
                    model.read(manager, name).close();
                }
            }
        });
    }

    static Probe readFile(String file) {
        return call("SafetensorsFile.open(" + file + ") and read", () -> {
            try (SafetensorsFile tensors = SafetensorsFile.open(Path.of(file));
                    NDManager manager = Torch.newManager()) {
                for (String name : tensors.tensors().keySet()) {
                    tensors.read(manager, name).close();
                }
            }
        });
    }

    static Probe readFourBit(String directory) {
        return call("FourBitCheckpoint.read(" + directory + ")", () -> {
            try (ModelDirectory model = ModelDirectory.open(Path.of(directory))) {
                for (String name : model.names()) {
                    if (FourBitCheckpoint.has(model, name)) {
                        FourBitCheckpoint.read(model, name, Kernels.choose(KernelChoice.BUILTIN)).close();
                    }
                }
            }
        });
    }

    static Probe loadBase(String directory) {
        return call("BaseModel.load(" + directory + ")", () -> BaseModel.load(Path.of(directory), BaseOptions.unquantized())
                .close());
    }

    static Probe modelConfig(String directory) {
        return call("ModelConfig.read(" + directory + ")", () -> ModelConfig.read(Path.of(directory)));
    }

    static Probe loadAdapter(String adapter, boolean onBase) {
        return call("Adapter.load(" + adapter + (onBase ? ", on its base)" : ")"), () -> {
            try (NDManager manager = Torch.newManager()) {
                ModelConfig config = ModelConfig.read(Path.of("models/llama"));
                (onBase
                                ? Adapter.load(manager, Path.of(adapter), Modules.of(config), config.modelType(), null)
                                : Adapter.load(manager, Path.of(adapter)))
                        .close();
            }
        });
    }

    static Probe tokenizer(String directory) {
        return call("Tokenizer.load(" + directory + ") and use", () -> {
            try (Tokenizer tokenizer = Tokenizer.load(Path.of(directory))) {
                for (String text : List.of("hello", "", " a  <s>b</s> 中😀\n", "x".repeat(300))) {
                    tokenizer.encode(text);
                    int[] ids = tokenizer.encodeWithSpecialTokens(text);
                    tokenizer.encodeOrdinary(text);
                    tokenizer.decode(ids, true);
                    tokenizer.decode(ids, false);
                }
                tokenizer.decode(new int[] {0, 1, 2, 3, 100, 263, 264, 100000}, false);
                tokenizer.tokenId("<s>");
                tokenizer.fingerprint();
            }
        });
    }

    static Probe config() {
        return call("ConfigFile.load(run.yaml)", () -> ConfigFile.load(Path.of("run.yaml"), List.of()));
    }

    static Probe metrics(String file) {
        return call("MetricsFile.read and cutBackTo(" + file + ")", () -> {
            MetricsFile.read(Path.of(file));
            MetricsFile.cutBackTo(Path.of(file), 1, true);
        });
    }

    private static String[] with(String first, String... rest) {
        String[] all = new String[rest.length + 1];
        all[0] = first;
        System.arraycopy(rest, 0, all, 1, rest.length);
        return all;
    }

    /** A command that writes nothing, or failed, leaves nothing. */
    private static List<String> nothingNew() throws IOException {
        List<String> left = Judge.leftOver(Path.of("out"));
        return left.isEmpty() ? List.of() : List.of("left behind: " + left);
    }

    private static List<String> scores(Path file) throws IOException {
        List<String> lines = Files.readAllLines(file);
        for (String line : lines) {
            JsonArray scores = JsonParser.parseString(line).getAsJsonObject().getAsJsonArray("logprobs");
            for (JsonElement score : scores) {
                if (!Double.isFinite(score.getAsDouble()) || score.getAsDouble() > 1e-3) {
                    return List.of("a log-probability of " + score);
                }
            }
        }
        return Judge.leftOver(Path.of("out")).size() == 1 ? List.of() : List.of("more than the scores is left behind");
    }

    private static List<String> compared(Path directory) throws IOException {
        for (String name : List.of("compare.md", "compare.json", "layers.json")) {
            if (!Files.isRegularFile(directory.resolve(name))) {
                return List.of(name + " is missing");
            }
        }
        JsonParser.parseString(Files.readString(directory.resolve("compare.json")));
        return List.of();
    }

    private static List<String> model(Run run, String directory) throws IOException {
        Path out = Path.of(directory);
        if (run.code() != 0) {
            List<String> left = Judge.leftOver(Path.of("out"));
            return left.isEmpty() || left.equals(List.of(out.toString())) ? List.of() : List.of("left behind: " + left);
        }
        Run opened = Run.of("open what was written", () -> {
            ModelConfig.read(out);
            ModelDirectory.open(out).close();
        });
        return opened.code() == 0 ? List.of() : List.of("what was written cannot be read: " + opened.err() + opened.odd());
    }

    private static List<String> newRun(Run run) throws Exception {
        // YAML may have named another directory; of that one nothing can be said
        return run.code() == 0 && Files.exists(Path.of("runs/new")) ? finished(run, Path.of("runs/new"), 0) : torn();
    }

    private static List<String> resumed(Run run, byte[] bytes, boolean sameBytes) throws Exception {
        if (run.code() != 0) {
            return torn();
        }
        List<String> problems = new ArrayList<>(finished(run, Path.of("runs/broken"), 2));
        Path adapter = Path.of("runs/broken/adapter_model.safetensors");
        if (problems.isEmpty() && sameBytes && !Arrays.equals(bytes, Files.readAllBytes(adapter))) {
            problems.add("the adapter is not that of an unbroken run");
        }
        return problems;
    }

    /** What is wrong with a run that has ended; the lines of its first {@code old} steps may have been damaged. */
    private static List<String> finished(Run run, Path directory, int old) throws Exception {
        List<String> problems = new ArrayList<>(torn());
        Run loaded = Run.of("load the result", () -> {
            try (NDManager manager = Torch.newManager()) {
                Adapter.load(manager, directory).close();
            }
        });
        if (loaded.code() != 0) {
            problems.add("the adapter that was trained cannot be loaded: " + loaded.err() + loaded.odd());
        }
        List<String> lines = Files.readAllLines(directory.resolve("metrics.jsonl"));
        for (int i = 0; i < lines.size(); i++) {
            JsonObject line = JsonParser.parseString(lines.get(i)).getAsJsonObject();
            JsonElement loss = line.get("loss");
            boolean finite = loss == null
                    || loss.isJsonPrimitive() && loss.getAsJsonPrimitive().isNumber() && Double.isFinite(loss.getAsDouble());
            boolean before = line.get("step").getAsLong() <= old;
            // null stands for a loss that was not finite; any other line that no run wrote is kept, and told
            if (!finite && !(before && loss.isJsonNull()) && !run.err().contains("metrics.jsonl:" + (i + 1) + ": the loss is no number")) {
                problems.add("a loss of " + loss + " that is not told");
            }
        }
        return problems;
    }

    /** Half-written files anywhere under the run directories. */
    private static List<String> torn() throws IOException {
        List<String> torn = new ArrayList<>();
        for (String file : Judge.leftOver(Path.of("runs"))) {
            Path path = Path.of(file);
            if (file.matches(".*\\.(tmp|old)$")) {
                torn.add("half-written: " + file);
            } else if (path.getFileName().toString().equals("adapter_model.safetensors")
                    && !Files.exists(path.resolveSibling("adapter_config.json"))) {
                torn.add("half an adapter: " + file);
            }
        }
        return torn;
    }
}
