package damage;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.SplittableRandom;

/** A kind of input: which files are damaged, how, and what is then done with them. */
record Kind(String name, int share, Damager damager, Probes probes) {

    /** Damages a file under the current directory and says which, and what was done. */
    interface Damager {
        Done damage(SplittableRandom random) throws IOException;
    }

    /** What may be done with the files of this kind. */
    interface Probes {
        List<Probe> of(Done done);
    }

    /**
     * What was damaged.
     *
     * @param file the damaged file
     * @param what was done
     * @param deep the damage is behind a checksum that fits it
     */
    record Done(String file, String what, boolean deep) {}

    /** What a file becomes. */
    private interface Way {
        Bytes.Damaged damage(byte[] whole, SplittableRandom random);
    }

    static List<Kind> all(byte[] finished) {
        return List.of(
                new Kind("safetensors", 15, one(Tensors::damage, "models/llama/model.safetensors"), d -> dense("models/llama")),
                new Kind("index", 6, one(Kind::json, "models/sharded/model.safetensors.index.json", "models/fp4/model.safetensors.index.json"),
                        d -> d.file().contains("fp4") ? fourBit("models/fp4") : dense("models/sharded")),
                new Kind("config", 12, one(Kind::json, "models/llama/config.json", "models/nf4/config.json"), Kind::config),
                new Kind("generation-config", 3, one(Kind::json, "models/llama/generation_config.json"), d -> tokens()),
                new Kind("adapter-config", 8, one(Kind::json, "adapter/adapter_config.json"), d -> adapter()),
                new Kind("adapter-tensors", 7, one(Tensors::damage, "adapter/adapter_model.safetensors"), d -> adapter()),
                new Kind("tokenizer", 10, one(Kind::json, "models/llama/tokenizer.json"), d -> tokens()),
                new Kind("tokenizer-config", 4, one(Kind::json, "models/llama/tokenizer_config.json", "models/llama/special_tokens_map.json"), d -> tokens()),
                new Kind("yaml", 10, one(Yaml::damage, "run.yaml"), d -> List.of(
                        Probe.config(), Probe.config(), Probe.preview(), Probe.plan("run.yaml"), Probe.train())),
                new Kind("alpaca-json", 7, one(Kind::json, "rows.json"), d -> rows("rows.json")),
                new Kind("alpaca-jsonl", 7, one(Kind::lines, "rows.jsonl"), d -> rows("rows.jsonl")),
                new Kind("texts", 3, one(Kind::lines, "texts.jsonl"), d -> List.of(
                        Probe.score("--model", "models/llama"), Probe.quantize("models/llama", "--method", "gptq", "--calibration", "texts.jsonl", "--group-size", "32"),
                        Probe.quantize("models/llama", "--method", "awq", "--calibration", "texts.jsonl", "--group-size", "32"))),
                new Kind("four-bit", 9, one(Kind::fourBitTensors, "models/nf4/model.safetensors", "models/fp4/model-00001-of-00003.safetensors", "models/fp4/model-00002-of-00003.safetensors"),
                        d -> fourBit(d.file().startsWith("models/nf4") ? "models/nf4" : "models/fp4")),
                new Kind("grouped", 10, one(Tensors::damage, "models/gptq/model.safetensors", "models/awq/model.safetensors"), Kind::quantized),
                new Kind("int8", 4, one(Tensors::damage, "models/int8/model.safetensors"), Kind::quantized),
                new Kind("quantization-config", 6, one(Kind::quantizationConfig, "models/gptq/config.json", "models/awq/config.json", "models/int8/config.json", "models/nf4/config.json"), Kind::quantized),
                new Kind("checkpoint", 10, new Checkpoints(), d -> List.of(
                        Probe.resume(finished, !d.deep()), Probe.resume(finished, !d.deep()), Probe.inspect("runs/broken/checkpoint-2"),
                        Probe.inspect("runs/broken"), Probe.generate("--adapter", "runs/broken/checkpoint-2"))),
                new Kind("metrics", 3, one(Kind::lines, "runs/broken/metrics.jsonl"), d -> List.of(
                        Probe.metrics("runs/broken/metrics.jsonl"), Probe.inspect("runs/broken"), Probe.resume(finished, true))),
                new Kind("token-cache", 3, new Caches(), d -> List.of(Probe.train(), Probe.resume(finished, !d.deep()))));
    }

    /** The damaged file's name, its directory or a key of it: an error must have one of these in it. */
    List<String> names(Done done) {
        Path file = Path.of(done.file());
        List<String> names = new java.util.ArrayList<>(List.of(file.getFileName().toString()));
        if (file.getParent() != null) {
            names.add(file.getParent().toString());
        } else if (name.equals("yaml")) {
            // what the file names is told by the key, or by the path that was made of it
            names.addAll(List.of("model.", "quantization.", "lora.", "data.", "training.", "models/", "runs/", ".json", ".lock"));
        }
        return names;
    }

    private static Damager one(Way way, String... files) {
        return random -> {
            String file = files[random.nextInt(files.length)];
            Bytes.Damaged damaged = way.damage(Files.readAllBytes(Path.of(file)), random);
            Files.write(Path.of(file), damaged.bytes());
            return new Done(file, damaged.what(), false);
        };
    }

    static Bytes.Damaged json(byte[] whole, SplittableRandom random) {
        if (random.nextInt(4) == 0) {
            return Bytes.of(whole, random);
        }
        Json json = Json.parse(new String(whole, StandardCharsets.UTF_8));
        String what = json.damage(random);
        return new Bytes.Damaged(json.toString().getBytes(StandardCharsets.UTF_8), what);
    }

    private static Bytes.Damaged lines(byte[] whole, SplittableRandom random) {
        if (random.nextInt(3) == 0) {
            return Bytes.of(whole, random);
        }
        List<String> lines = new java.util.ArrayList<>(new String(whole, StandardCharsets.UTF_8).lines().toList());
        int at = random.nextInt(lines.size());
        Json json = Json.parse(lines.get(at));
        String what = json.damage(random);
        lines.set(at, json.toString());
        return new Bytes.Damaged((String.join("\n", lines) + "\n").getBytes(StandardCharsets.UTF_8), "line " + (at + 1) + ": " + what);
    }

    /** Only the object of that name: what it says of tensors that are as they were. */
    private static Bytes.Damaged quantizationConfig(byte[] whole, SplittableRandom random) {
        Json json = Json.parse(new String(whole, StandardCharsets.UTF_8));
        String what = json.get("quantization_config").damage(random);
        return new Bytes.Damaged(json.toString().getBytes(StandardCharsets.UTF_8), "quantization_config: " + what);
    }

    private static Bytes.Damaged fourBitTensors(byte[] whole, SplittableRandom random) {
        return random.nextInt(5) < 2 ? Tensors.damageState(whole, random) : Tensors.damage(whole, random);
    }

    private static List<Probe> dense(String model) {
        return List.of(
                Probe.readTensors(model), Probe.readTensors(model), Probe.inspect(model), Probe.loadBase(model), Probe.score("--model", model),
                Probe.score("--model", model, "--load-in-4bit"), Probe.eval(model, "rows.json"), Probe.quantize(model),
                Probe.quantize(model, "--method", "bnb-8bit"), Probe.quantize(model, "--method", "awq", "--calibration", "texts.jsonl", "--group-size", "32"),
                Probe.quantize(model, "--method", "gptq", "--calibration", "texts.jsonl", "--group-size", "32"), Probe.compare(model),
                Probe.merge(model, "adapter"), Probe.generate("--model", model), Probe.train("model.path=" + model));
    }

    private static List<Probe> fourBit(String model) {
        return List.of(
                Probe.readFourBit(model), Probe.readFourBit(model), Probe.inspect(model), Probe.loadBase(model), Probe.score("--model", model),
                Probe.merge(model, "adapter"), Probe.generate("--model", model, "--adapter", "adapter"), Probe.train("model.path=" + model));
    }

    private static List<Probe> quantized(Done done) {
        String model = Path.of(done.file()).getParent().toString();
        return List.of(
                Probe.inspect(model), Probe.loadBase(model), Probe.loadBase(model), Probe.score("--model", model), Probe.score("--model", model, "--dtype", "float32"),
                Probe.eval(model, "rows.json"), Probe.merge(model, "plain"), Probe.generate("--model", model, "--adapter", "plain"),
                Probe.train("model.path=" + model, "quantization.load_in_4bit=false"));
    }

    private static List<Probe> config(Done done) {
        String model = Path.of(done.file()).getParent().toString();
        return List.of(
                Probe.modelConfig(model), Probe.plan("--model", model), Probe.inspect(model), Probe.loadBase(model), Probe.score("--model", model),
                Probe.score("--model", model, "--dtype", "float32"), Probe.generate("--model", model), Probe.merge(model, "adapter"),
                Probe.tokenizer(model), Probe.train("model.path=" + model), Probe.eval(model, "rows.json"));
    }

    private static List<Probe> tokens() {
        return List.of(
                Probe.tokenizer("models/llama"), Probe.tokenizer("models/llama"), Probe.preview(), Probe.generate("--model", "models/llama"),
                Probe.generate("--model", "models/llama", "--template", "alpaca"), Probe.score("--model", "models/llama"), Probe.train());
    }

    private static List<Probe> adapter() {
        return List.of(
                Probe.loadAdapter("adapter", true), Probe.loadAdapter("adapter", false), Probe.inspect("adapter"),
                Probe.score("--model", "models/llama", "--adapter", "adapter"), Probe.merge("models/llama", "adapter"),
                Probe.generate("--adapter", "adapter"), Probe.train("lora.adapter=adapter", "lora.dtype=float32"));
    }

    private static List<Probe> rows(String file) {
        return List.of(
                Probe.train("data.train=" + file), Probe.eval("models/llama", file),
                Probe.train("data.train=" + file, "data.on_bad_row=skip"),
                Probe.train("data.train=rows.json", "data.eval=" + file));
    }
}
