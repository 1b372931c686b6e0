package io.github.qlora4j.trainer.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.trainer.config.ConfigFile;
import io.github.qlora4j.trainer.config.LoadedConfig;
import io.github.qlora4j.trainer.generate.LanguageModel;
import io.github.qlora4j.trainer.generate.ModelSource;
import io.github.qlora4j.trainer.generate.Prompt;
import io.github.qlora4j.trainer.generate.Sampling;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A base that lies on the disk, or partly, is trained, scored and generated from with the bits of one in memory. */
class DiskTrainingTest {

    private static final Path GOLDEN = Path.of("src/test/resources/golden");
    private static final String BOTH = "{\"\": cpu, model.layers.1: disk, lm_head: disk}";

    @TempDir
    Path temp;

    private Path rows;

    @BeforeEach
    void writeRows() throws IOException {
        rows = temp.resolve("rows.jsonl");
        Random random = new Random(7);
        List<String> json = new ArrayList<>();
        for (int i = 0; i < 8; i++) {
            int[] ids = random.ints(5 + 3 * i, 4, 96).toArray();
            json.add("{\"input_ids\": " + Arrays.toString(ids) + "}");
        }
        Files.writeString(rows, String.join("\n", json));
    }

    /** A copy of a model with a tokenizer, which quantized ones here have not. */
    private Path model(String name) throws IOException {
        Path copy = Files.createDirectories(temp.resolve("models").resolve(name.replace('/', '-')));
        for (Path from : List.of(GOLDEN.resolve("models/llama"), GOLDEN.resolve(name))) {
            try (Stream<Path> files = Files.list(from)) {
                for (Path file : files.filter(f ->
                                f.toString().matches(".*tokenizer.*|.*generation.*") || from.endsWith(Path.of(name)))
                        .toList()) {
                    Files.copy(
                            file, copy.resolve(file.getFileName()), java.nio.file.StandardCopyOption.REPLACE_EXISTING);
                }
            }
        }
        return copy;
    }

    private LoadedConfig config(Path model, Path output, List<String> more) {
        List<String> sets = new ArrayList<>(List.of(
                "model.path=" + model,
                "data.train=" + rows,
                "data.format=tokenized",
                "data.cache_dir=" + temp.resolve("cache"),
                "data.max_length=48",
                "training.output_dir=" + output,
                "training.max_steps=2",
                "training.gradient_accumulation_steps=2",
                "training.learning_rate=1e-2",
                "training.threads=1",
                "lora.target_modules=[q_proj, o_proj, up_proj, down_proj]",
                "lora.lora_dropout=0.1"));
        sets.addAll(more);
        return ConfigFile.parse("{}", "test.yaml", sets);
    }

    private void train(LoadedConfig config) {
        Trainer.builder()
                .setConfig(config)
                .optListener(new RunListener() {})
                .build()
                .train();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "models/llama-gqa | disk | ",
                "models/llama-gqa | {\"\": cpu, model.layers.1: disk, lm_head: disk} | lora.layers_to_transform=[1]",
                "models/llama-gqa | {\"\": cpu, model.embed_tokens: disk} | model.dtype=float32",
                "models/llama-gqa | disk | model.dtype=float16;model.upcast=true",
                "models/llama-gqa | disk | quantization.load_in_4bit=true",
                "models/llama-gqa | {\"\": disk, lm_head: cpu} | quantization.load_in_4bit=true;"
                        + "quantization.llm_int8_skip_modules=[v_proj];training.gradient_checkpointing=false",
                "models/llama-gqa | disk | quantization.load_in_8bit=true;quantization.llm_int8_threshold=1.5",
                "models/llama-tied | disk | lora.modules_to_save=[embed_tokens]",
                "models/llama-bias | disk | lora.bias=all;lora.modules_to_save=[lm_head]",
                "models/qwen2-tied | {\"\": cpu, model.layers: disk} | quantization.load_in_4bit=true",
                "checkpoints/nf4-double | disk | quantization.bnb_4bit_compute_dtype=float32",
                "checkpoints/fp4-single-sharded | {\"\": disk, model.layers.0: cpu} | ",
                "grouped/gptq | disk | ",
                "grouped/awq | disk | model.dtype=float32",
            })
    void theBitsAreThoseOfAModelInMemory(String name, String map, String settings) throws IOException {
        Path model = model(name);
        List<String> more = new ArrayList<>(settings == null ? List.of() : List.of(settings.split(";")));
        Path inMemory = temp.resolve("memory");
        train(config(model, inMemory, more));
        more.addAll(List.of("model.device_map=" + map, "model.offload_folder=" + temp.resolve("offload")));
        Path onDisk = temp.resolve("disk");
        train(config(model, onDisk, more));

        assertThat(onDisk.resolve("adapter_model.safetensors"))
                .hasSameBinaryContentAs(inMemory.resolve("adapter_model.safetensors"));
        int[] ids = {1, 9, 30, 7, 22, 15, 9, 4};
        try (LanguageModel memory = LanguageModel.open(ModelSource.ofAdapter(inMemory));
                LanguageModel disk = LanguageModel.open(ModelSource.ofAdapter(onDisk))) {
            assertThat(disk.decoder().base().placement().usesDisk()).isTrue();
            assertThat(disk.decoder().base().bytes())
                    .isLessThan(memory.decoder().base().bytes());
            assertThat(disk.score(ids)).isEqualTo(memory.score(ids));
            Prompt prompt = new Prompt.Tokens(ids);
            assertThat(disk.generate(prompt, Sampling.GREEDY, 12, piece -> {}).outputIds())
                    .isEqualTo(memory.generate(prompt, Sampling.GREEDY, 12, piece -> {})
                            .outputIds());
            assertThat(disk.score(ids)).as("after generating").isEqualTo(memory.score(ids));
        }
    }

    @Test
    void goesOnWithAnotherPlacement() throws IOException {
        Path model = model("models/llama-gqa");
        Path whole = temp.resolve("whole");
        train(config(model, whole, List.of()));
        Path parts = temp.resolve("parts");
        List<String> disk = List.of("model.device_map=disk", "training.save_steps=1");
        Trainer[] trainer = new Trainer[1];
        trainer[0] = Trainer.builder()
                .setConfig(config(model, parts, disk))
                .optListener(new RunListener() {
                    @Override
                    public void step(io.github.qlora4j.trainer.report.StepMetrics metrics) {
                        trainer[0].cancel();
                    }
                })
                .build();
        assertThat(trainer[0].train().finished()).isFalse();
        Trainer.builder()
                .setConfig(config(model, parts, List.of("model.device_map=" + BOTH, "training.save_steps=1")))
                .optStart(Trainer.Start.RESUME)
                .optListener(new RunListener() {})
                .build()
                .train();
        assertThat(parts.resolve("adapter_model.safetensors"))
                .hasSameBinaryContentAs(whole.resolve("adapter_model.safetensors"));
    }

    @Test
    void auto_putsOnTheDiskWhatMemoryHasNoRoomFor() throws IOException {
        Path model = model("models/llama-gqa");
        Path out = temp.resolve("auto");
        train(config(model, out, List.of("model.device_map=auto", "model.max_memory={cpu: 170KB}")));
        try (LanguageModel language = LanguageModel.open(ModelSource.ofAdapter(out))) {
            assertThat(language.decoder().base().placement().lines())
                    .containsExactly("in memory: embeddings, block 0", "on the disk: block 1, head");
        }
    }

    @Test
    void withoutAFolder_blocksQuantizedWhileLoadingAreAnError() throws IOException {
        LoadedConfig config = config(
                model("models/llama-gqa"),
                temp.resolve("out"),
                List.of("model.device_map=disk", "quantization.load_in_4bit=true"));
        assertThatThrownBy(() -> train(config))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("2 of 2 blocks lie on the disk")
                .hasMessageContaining("model.offload_folder (--offload-folder)");
    }

    @Test
    void gpu_isAnErrorThatSaysWhatToDo() throws IOException {
        LoadedConfig config = config(
                model("models/llama-gqa"),
                temp.resolve("out"),
                List.of("model.device_map=auto", "model.max_memory={0: 8GB, cpu: 1GB}"));
        assertThatThrownBy(() -> train(config))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("model.device_map: the model would lie on GPU 0")
                .hasMessageContaining("Use cpu and disk alone");
    }
}
