package damage;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.safetensors.ShardedSafetensorsWriter;
import io.github.qlora4j.quant.safetensors.TensorInfo;
import io.github.qlora4j.quant.safetensors.TensorSpec;
import io.github.qlora4j.quant.torch.Torch;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/** The whole files that inputs are made from: tiny models of each kind, an adapter, rows, and a run that was broken off. */
final class Fixture {

    static final String YAML =
            """
            # a run over tiny files
            model:
              path: models/llama
              dtype: auto
            quantization:
              load_in_4bit: true
              bnb_4bit_quant_type: nf4
              bnb_4bit_use_double_quant: true
              bnb_4bit_compute_dtype: float32
            lora:
              r: 4
              lora_alpha: 8
              lora_dropout: 0.1
              target_modules: [q_proj, v_proj]
              rank_pattern: {layers.0.self_attn.q_proj: 2}
              dtype: float32
            data:
              train: rows.json
              eval: [rows.jsonl]
              format: alpaca
              template: human_assistant
              max_length: 64
              cache_dir: cache
            training:
              output_dir: runs/new
              per_device_train_batch_size: 2
              gradient_accumulation_steps: 1
              max_steps: 3
              learning_rate: 2.0e-3
              lr_scheduler_type: cosine
              warmup_steps: 1
              save_steps: 1
              eval_steps: 2
              optim: paged_adamw_8bit
              paged_resident: 64MiB
              seed: 7
              threads: 1
            """;

    private static final List<String[]> ROWS = List.of(
            new String[] {"Name a colour.", "", "Red."},
            new String[] {"Add.", "2 and 3", "5"},
            new String[] {"Say hello.", "", "Hello \\u00e4\\u4e2d\\ud83d\\ude00!"},
            new String[] {"Upper case.", "abc", "ABC"},
            new String[] {"Repeat.", "a\\tb\\n", "a b"},
            new String[] {"Nothing.", "", "-"});

    private Fixture() {}

    /** Makes the files in the current directory, which is empty. */
    static void make(Path golden) throws IOException {
        Path home = Path.of("");
        copy(golden.resolve("models/llama"), home.resolve("models/llama"));
        Files.writeString(
                home.resolve("models/llama/generation_config.json"),
                "{\"bos_token_id\": 1, \"eos_token_id\": [2, 3], \"pad_token_id\": 3, \"transformers_version\": \"5.23.0\"}");
        Files.writeString(
                home.resolve("models/llama/special_tokens_map.json"),
                "{\"bos_token\": {\"content\": \"<s>\", \"lstrip\": false}, \"eos_token\": \"</s>\"}");
        shard(home.resolve("models/llama"), home.resolve("models/sharded"), 100_000);
        must("quantize", "--model", "models/llama", "--output", "models/nf4");
        must("quantize", "--model", "models/llama", "--output", "models/one", "--quant-type", "fp4", "--no-double-quant");
        shard(home.resolve("models/one"), home.resolve("models/fp4"), 60_000);
        delete(home.resolve("models/one"));
        rows(home);
        must("quantize", "--model", "models/llama", "--output", "models/int8", "--method", "bnb-8bit");
        must(with("models/gptq", "--method", "gptq", "--bits", "3", "--no-sym", "--desc-act"));
        must(with("models/awq", "--method", "awq"));
        Files.writeString(home.resolve("run.yaml"), YAML);
        Files.createDirectories(home.resolve("out"));
        must("train", "run.yaml", "--set", "training.output_dir=runs/broken");
        Path broken = home.resolve("runs/broken");
        copy(broken, home.resolve("adapter"));
        delete(home.resolve("adapter/checkpoint-1"));
        delete(home.resolve("adapter/checkpoint-2"));
        delete(home.resolve("adapter/checkpoint-3"));
        Files.delete(home.resolve("adapter/metrics.jsonl"));
        // as peft leaves one: without the run's configuration, which says how the base was read
        copy(home.resolve("adapter"), home.resolve("plain"));
        Files.delete(home.resolve("plain/qlora.yaml"));
        // as if it had been killed after its second step
        delete(broken.resolve("checkpoint-3"));
        for (String made : List.of("adapter_model.safetensors", "adapter_config.json", "README.md", "loss.png")) {
            Files.deleteIfExists(broken.resolve(made));
        }
    }

    private static String[] with(String output, String... more) {
        List<String> args = new ArrayList<>(List.of("quantize", "--model", "models/llama", "--output", output));
        args.addAll(List.of("--calibration", "texts.jsonl", "--group-size", "32"));
        args.addAll(List.of(more));
        return args.toArray(String[]::new);
    }

    private static void must(String... args) {
        Run run = Run.of(args);
        if (run.code() != 0) {
            throw new IllegalStateException(run.what() + " fails:\n" + run.err() + run.odd());
        }
    }

    private static void rows(Path home) throws IOException {
        List<String> objects = new ArrayList<>();
        for (String[] row : ROWS) {
            objects.add("{\"instruction\": \"" + row[0] + "\", \"input\": \"" + row[1] + "\", \"output\": \"" + row[2]
                    + "\", \"history\": [[\"Who?\", \"Me.\"]]}");
        }
        Files.writeString(home.resolve("rows.json"), "[\n" + String.join(",\n", objects) + "\n]\n");
        Files.writeString(home.resolve("rows.jsonl"), String.join("\n", objects) + "\n");
        Files.writeString(
                home.resolve("texts.jsonl"),
                "{\"text\": \"hello there\"}\n{\"input_ids\": [1, 20, 33, 47, 5]}\n{\"text\": \"a \\u4e2d b\"}\n");
    }

    private static void shard(Path from, Path to, long most) throws IOException {
        copy(from, to);
        Files.delete(to.resolve("model.safetensors"));
        try (ModelDirectory model = ModelDirectory.open(from);
                NDManager manager = Torch.newManager()) {
            List<TensorSpec> specs = new ArrayList<>();
            for (String name : model.names()) {
                TensorInfo info = model.info(name);
                specs.add(new TensorSpec(name, info.dtype(), info.shape()));
            }
            try (ShardedSafetensorsWriter writer =
                    ShardedSafetensorsWriter.create(to, Map.of("format", "pt"), specs, most)) {
                for (String name : model.names()) {
                    try (NDArray tensor = model.read(manager, name)) {
                        writer.write(name, tensor);
                    }
                }
                writer.finish();
            }
        }
    }

    static void copy(Path from, Path to) throws IOException {
        try (Stream<Path> all = Files.walk(from)) {
            for (Path source : all.toList()) {
                Path target = to.resolve(from.relativize(source).toString());
                if (Files.isDirectory(source)) {
                    Files.createDirectories(target);
                } else if (!source.getFileName().toString().matches("logprobs.*|generate\\.json|config-published\\.json|\\.lock")) {
                    Files.copy(source, target, StandardCopyOption.REPLACE_EXISTING);
                }
            }
        }
    }

    /** Deletes a directory, and all that is in it; links are not followed. */
    static void delete(Path directory) throws IOException {
        if (Files.isDirectory(directory)) {
            empty(directory);
            Files.delete(directory);
        }
    }

    static void empty(Path directory) throws IOException {
        try (Stream<Path> all = Files.walk(directory)) {
            for (Path path : all.sorted(Comparator.reverseOrder()).toList()) {
                if (!path.equals(directory)) {
                    Files.delete(path);
                }
            }
        }
    }
}
