package io.github.qlora4j.trainer.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class RunConfigTest {

    @Test
    void builder_givesWhatTheFileGives() {
        RunConfig built = RunConfig.builder()
                .setModel(Path.of("m"))
                .setTrain("a.json")
                .setOutputDir(Path.of("out"))
                .optLoadIn4bit(true)
                .optR(16)
                .optTargetModules("q_proj")
                .optTemplate(TemplateChoice.named(BuiltinTemplate.ALPACA))
                .optOptim(OptimizerName.ADAMW_TORCH)
                .opt("training.gradient_checkpointing", GradientCheckpointing.FALSE)
                .opt("lora.rank_pattern", Map.of("q_proj", 4))
                .opt("quantization.blocksize", 128)
                .optFrom("training.max_steps=7")
                .build();
        assertThat(built).isEqualTo(ConfigFileTest.parse("""
                                model: {path: m}
                                quantization: {blocksize: 128}
                                lora: {r: 16, target_modules: [q_proj], rank_pattern: {q_proj: 4}}
                                data: {train: a.json, template: alpaca}
                                training: {output_dir: out, optim: adamw_torch, gradient_checkpointing: false, max_steps: 7}
                                """));
    }

    @Test
    void eachMethodOfTheBuilder_setsItsKey() {
        RunConfig built = RunConfig.builder()
                .setModel(Path.of("m"))
                .setTrain("a.json")
                .setOutputDir(Path.of("out"))
                .optEval("e.json")
                .optLoadIn8bit(true)
                .optLoraAlpha(5)
                .optMaxLength(99)
                .optBatchSize(3)
                .optGradientAccumulationSteps(4)
                .optEpochs(1.5)
                .optMaxSteps(17)
                .optLearningRate(0.25)
                .optSeed(9)
                .build();
        assertThat(built).isEqualTo(ConfigFileTest.parse("""
                                model: {path: m}
                                quantization: {load_in_8bit: true}
                                lora: {lora_alpha: 5}
                                data: {train: a.json, eval: e.json, max_length: 99}
                                training:
                                  output_dir: out
                                  per_device_train_batch_size: 3
                                  gradient_accumulation_steps: 4
                                  num_train_epochs: 1.5
                                  max_steps: 17
                                  learning_rate: 0.25
                                  seed: 9
                                """));
        assertThat(built.quantized()).contains(built.quantization());
        assertThatThrownBy(() -> RunConfig.builder().optFrom("oops"))
                .isInstanceOf(ConfigException.class)
                .hasMessageContaining("expected section.key=value");
    }

    @Test
    void keysOfAStoredBase_quantizeNothingOnLoading() {
        RunConfig stored = ConfigFileTest.parse(ConfigFileTest.LEAST + "quantization: {bits: 4}");
        assertThat(stored.quantization()).isNotNull();
        assertThat(stored.quantized()).isEmpty();
        String keys = "{quant_method: gptq, bits: 4, sym: false, damp_percent: 0.01, checkpoint_format: gptq_v2,"
                + " exllama_config: {version: 2}, backend: exllama_v2}";
        assertThat(ConfigFileTest.parse(ConfigFileTest.LEAST + "quantization: " + keys)
                        .quantization()
                        .stored()
                        .json())
                .as("as quantization_config spells them")
                .hasToString("{\"quant_method\":\"gptq\",\"bits\":4,\"sym\":false,\"damp_percent\":0.01,"
                        + "\"checkpoint_format\":\"gptq_v2\",\"exllama_config\":{\"version\":2},"
                        + "\"backend\":\"exllama_v2\"}");
        assertThat(ConfigFileTest.parse(ConfigFileTest.LEAST).quantized()).isEmpty();
    }

    @Test
    void builder_namesEveryProblemAtOnce() {
        assertThatThrownBy(() -> RunConfig.builder()
                        .setTrain("a.json")
                        .optR(0)
                        .opt("training.max_step", 3)
                        .opt("training.learning_rate", Double.NaN)
                        .build())
                .isInstanceOf(ConfigException.class)
                .hasMessageContaining("model.path: missing; expected a path")
                .hasMessageContaining("lora.r: expected a whole number of at least 1 and at most 65536; got 0")
                .hasMessageContaining("training.max_step: unknown key; did you mean max_steps?")
                .hasMessageContaining("training.learning_rate: expected a number of at least 0; got .nan");
        assertThatThrownBy(() -> RunConfig.builder()
                        .opt("training.learning_rate", Double.NEGATIVE_INFINITY)
                        .opt("training.weight_decay", Double.POSITIVE_INFINITY)
                        .build())
                .hasMessageContaining("training.learning_rate: expected a number of at least 0; got -.inf")
                .hasMessageContaining("training.weight_decay: expected a number of at least 0; got .inf");
        assertThatThrownBy(() -> RunConfig.builder().opt("lora.r", new Object()))
                .isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void builder_remembersWhatWasSet() {
        LoadedConfig loaded = RunConfig.builder()
                .setModel(Path.of("m"))
                .setTrain("a.json")
                .optR(8)
                .load();
        assertThat(loaded.isExplicit("lora.r")).isTrue();
        assertThat(loaded.isExplicit("lora.lora_alpha")).isFalse();
    }

    @Test
    void with_changesOneKeyAndChecksAgain() {
        RunConfig config = ConfigFileTest.parse(ResolvedYamlTest.FULL);
        assertThat(config.with("training.seed", 1).training().seed()).isEqualTo(1);
        assertThat(config.with("training.seed", 42)).isEqualTo(config);
        assertThatThrownBy(() -> config.with("training.save_steps", 70))
                .hasMessage(
                        "training.load_best_model_at_end: needs training.save_steps (70) to be a multiple of training.eval_steps (50)");
    }

    @Test
    void constructor_refusesWhatTheFileWouldRefuse() {
        RunConfig good = ConfigFileTest.parse(ConfigFileTest.LEAST);
        DataSection d = good.data();
        DataSection bad = new DataSection(
                d.train(),
                d.eval(),
                1.5,
                d.format(),
                d.fields(),
                new TemplateChoice.Custom("x", null, null, "y"),
                d.addBos(),
                0,
                d.shuffle(),
                d.packing(),
                d.trainOnPrompt(),
                d.onBadRow(),
                null);
        assertThatThrownBy(() -> new RunConfig(good.model(), null, good.lora(), bad, good.training()))
                .isInstanceOf(ConfigException.class)
                .hasMessageContaining("data.eval_fraction: expected a number of at least 0 and below 1; got 1.5")
                .hasMessageContaining("data.max_length: expected a whole number")
                .hasMessageContaining("data.template.prompt: expected text that holds {instruction}; got \"x\"");
    }

    @Test
    void constructor_keepsTheRulesBetweenKeys() {
        RunConfig good = ConfigFileTest.parse(ConfigFileTest.LEAST);
        DataSection d = good.data();
        DataSection both = new DataSection(
                d.train(),
                List.of("e.json"),
                0.5,
                d.format(),
                d.fields(),
                d.template(),
                d.addBos(),
                d.maxLength(),
                d.shuffle(),
                d.packing(),
                d.trainOnPrompt(),
                d.onBadRow(),
                null);
        assertThatThrownBy(() -> new RunConfig(good.model(), null, good.lora(), both, good.training()))
                .isInstanceOf(ConfigException.class)
                .hasMessage("data.eval_fraction: excludes data.eval; use one of the two");
    }

    @Test
    void records_cannotBeChangedFromOutside() {
        LoraSection lora = ConfigFileTest.parse(ResolvedYamlTest.FULL).lora();
        assertThatThrownBy(() -> lora.rankPattern().put("x", 1)).isInstanceOf(UnsupportedOperationException.class);
        assertThatThrownBy(() -> lora.modulesToSave().add("x")).isInstanceOf(UnsupportedOperationException.class);
    }

    @Test
    void devices_areMemoryTheDiskOrNumberedFromZero() {
        assertThat(Device.parse("cuda:0")).isEqualTo(Device.parse("0")).hasToString("0");
        assertThat(Device.parse("0").isGpu()).isTrue();
        assertThat(Device.CPU.isGpu() || Device.DISK.isGpu()).isFalse();
        assertThatThrownBy(() -> new Device(-3)).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void memorySizes_readBackWhatTheyPrint() {
        for (String text : List.of("6GB", "512MiB", "1B", "1000001B", "3KiB", "1TiB")) {
            assertThat(MemorySize.parse(text)).hasToString(text);
        }
        assertThat(MemorySize.parse("1.5 GiB").bytes()).isEqualTo(3L << 29);
        assertThat(MemorySize.parse("4096")).hasToString("4KiB");
        assertThat(MemorySize.parse(" 8388607TiB ").bytes()).isEqualTo(8388607L << 40);
        assertThat(MemorySize.parse("1.9B").bytes()).isEqualTo(1);
        for (String text : List.of(
                "0.9B", "8388608TiB", "1.1234567GB", "", "GB", "-1GB", "1e9", "9".repeat(18) + "TB", "1 XB", "0")) {
            assertThatThrownBy(() -> MemorySize.parse(text)).isInstanceOf(IllegalArgumentException.class);
        }
    }

    @Test
    void warmup_isStepsOrAShareRoundedUp() {
        RunConfig c = ConfigFileTest.parse(ConfigFileTest.LEAST);
        assertThat(c.with("training.warmup_steps", 5).training().warmup(100)).isEqualTo(5);
        assertThat(c.with("training.warmup_steps", 1).training().warmup(100)).isEqualTo(1);
        assertThat(c.with("training.warmup_steps", 0.05).training().warmup(101)).isEqualTo(6);
        assertThat(c.with("training.warmup_ratio", 0.05).training().warmup(101)).isEqualTo(6);
        assertThat(c.training().warmup(101)).isZero();
    }
}
