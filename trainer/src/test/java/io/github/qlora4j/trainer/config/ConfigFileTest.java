package io.github.qlora4j.trainer.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import io.github.qlora4j.quant.KernelChoice;
import io.github.qlora4j.quant.QuantType;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ConfigFileTest {

    static final String LEAST = "model: {path: m}\ndata: {train: a.json}\n";

    @Test
    void minimalFile_hasTheDocumentedDefaults() {
        RunConfig c = parse(LEAST);
        assertThat(c.model()).isEqualTo(new ModelSection(Path.of("m"), Precision.AUTO, false));
        assertThat(c.quantization()).isNull();
        assertThat(c.lora())
                .isEqualTo(new LoraSection(
                        8,
                        16,
                        0.0,
                        TargetModules.names("q_proj", "v_proj"),
                        InitLoraWeights.TRUE,
                        false,
                        Map.of(),
                        Map.of(),
                        List.of(),
                        List.of(),
                        LoraBias.NONE,
                        List.of(),
                        AdapterDtype.BFLOAT16,
                        null));
        DataSection d = c.data();
        assertThat(d.train()).containsExactly("a.json");
        assertThat(d.eval()).isEmpty();
        assertThat(d.format()).isEqualTo(DataFormat.ALPACA);
        assertThat(d.template()).isEqualTo(TemplateChoice.named(BuiltinTemplate.HUMAN_ASSISTANT));
        assertThat(d.fields()).isEqualTo(FieldNames.DEFAULT);
        assertThat(d.maxLength()).isEqualTo(384);
        assertThat(d.shuffle()).isTrue();
        assertThat(d.addBos() || d.packing() || d.trainOnPrompt()).isFalse();
        TrainingSection t = c.training();
        assertThat(t.perDeviceTrainBatchSize()).isEqualTo(2);
        assertThat(t.gradientAccumulationSteps()).isEqualTo(8);
        assertThat(t.numTrainEpochs()).isEqualTo(1.0);
        assertThat(t.maxSteps()).isEqualTo(-1);
        assertThat(t.learningRate()).isEqualTo(2e-4);
        assertThat(t.lrSchedulerType()).isEqualTo(SchedulerType.COSINE);
        assertThat(t.lrSchedulerKwargs()).isEqualTo(SchedulerArguments.DEFAULT);
        assertThat(t.warmupSteps() + t.warmupRatio() + t.weightDecay()).isZero();
        assertThat(t.maxGradNorm()).isEqualTo(1.0);
        assertThat(t.optim()).isEqualTo(OptimizerName.PAGED_ADAMW_32BIT);
        assertThat(t.pagedResident()).isEqualTo(TrainingSection.PAGED_RESIDENT);
        assertThat(t.gradientCheckpointing()).isEqualTo(GradientCheckpointing.TRUE);
        assertThat(t.loggingSteps()).isEqualTo(1);
        assertThat(t.evalSteps()).isZero();
        assertThat(t.evaluates()).isFalse();
        assertThat(t.saveSteps()).isEqualTo(100);
        assertThat(t.saveTotalLimit()).isEqualTo(2);
        assertThat(t.seed()).isEqualTo(42);
        assertThat(t.rowSeed()).isEqualTo(42);
    }

    @Test
    void quantizationSection_hasItsDefaultsAndGoesWithLoadIn4bitFalse() {
        assertThat(parse(LEAST + "quantization: {}").quantization())
                .isEqualTo(new QuantizationSection(
                        true,
                        false,
                        QuantType.NF4,
                        true,
                        Precision.AUTO,
                        64,
                        KernelChoice.AUTO,
                        6.0,
                        null,
                        false,
                        StoredKeys.NONE));
        QuantizationSection eight = parse(LEAST
                        + "quantization: {load_in_8bit: true, llm_int8_threshold: 5, llm_int8_skip_modules: [v_proj]}")
                .quantization();
        assertThat(eight.loadIn4bit()).isFalse();
        assertThat(eight.loadIn8bit()).isTrue();
        assertThat(eight.llmInt8Threshold()).isEqualTo(5.0);
        assertThat(eight.llmInt8SkipModules().names()).containsExactly("v_proj");
        assertThat(parse(LEAST + "quantization: {load_in_4bit: false}").quantization())
                .isNull();
        assertThat(parse(LEAST + "quantization: null").quantization()).isNull();
        assertThat(problems(LEAST + "quantization:\n"))
                .singleElement()
                .asString()
                .contains("f.yaml:3:1: quantization: empty");
    }

    @Test
    void placement_isRead() {
        ModelSection model = parse(
                        "model: {path: m, device_map: auto, max_memory: {cpu: 2GiB, 0: 1GB, 'cuda:1': 1GB}}\n"
                                + "data: {train: a.json}\n")
                .model();
        assertThat(model.deviceMap()).isEqualTo(DeviceMap.auto());
        assertThat(model.maxMemory())
                .containsExactly(
                        Map.entry(Device.CPU, new MemorySize(1L << 31)),
                        Map.entry(new Device(0), MemorySize.parse("1GB")),
                        Map.entry(new Device(1), MemorySize.parse("1GB")));
        assertThat(parse("model: {path: m, device_map: disk}\ndata: {train: a.json}\n")
                        .model()
                        .deviceMap())
                .isEqualTo(DeviceMap.all(Device.DISK));
        assertThat(parse("model: {path: m, device_map: {'': 0, model.layers.3: disk}}\ndata: {train: a.json}\n")
                        .model()
                        .deviceMap())
                .isEqualTo(new DeviceMap.Modules(Map.of("", new Device(0), "model.layers.3", Device.DISK)));
    }

    @Test
    void everyKindOfValue_isRead() {
        RunConfig c = parse("""
                model: {path: models/llama, dtype: bfloat16, upcast: true}
                quantization: {bnb_4bit_quant_type: fp4, blocksize: 128, kernel: builtin, llm_int8_skip_modules: lm_head}
                lora:
                  target_modules: all-linear
                  rank_pattern: {q_proj: 4, v_proj: 2}
                  init_lora_weights: gaussian
                  modules_to_save: [lm_head]
                  adapter: old
                data:
                  train: [a.json, "b/*.jsonl"]
                  eval_fraction: 0.1
                  fields: {instruction: question}
                  template: {prompt: "Q: {instruction}\\nA: "}
                training:
                  learning_rate: 1
                  warmup_steps: 0.03
                  optim: adamw_bnb_8bit
                  gradient_checkpointing: auto
                  memory_budget: 6GB
                  save_total_limit: null
                  eval_steps: 0x10
                """);
        assertThat(c.quantization().bnb4bitQuantType()).isEqualTo(QuantType.FP4);
        assertThat(c.quantization().llmInt8SkipModules().names()).containsExactly("lm_head");
        assertThat(c.lora().targetModules()).isEqualTo(new TargetModules.AllLinear());
        assertThat(c.lora().rankPattern()).containsExactly(Map.entry("q_proj", 4), Map.entry("v_proj", 2));
        assertThat(c.lora().adapter()).isEqualTo(Path.of("old"));
        assertThat(c.data().train()).containsExactly("a.json", "b/*.jsonl");
        assertThat(c.data().fields().instruction()).isEqualTo("question");
        assertThat(c.data().fields().input()).isEqualTo("input");
        assertThat(c.data().template())
                .isEqualTo(new TemplateChoice.Custom("Q: {instruction}\nA: ", null, null, "{output}"));
        assertThat(c.training().learningRate()).isEqualTo(1.0);
        assertThat(c.training().warmup(101)).isEqualTo(4);
        assertThat(c.training().optim()).isEqualTo(OptimizerName.ADAMW_8BIT);
        assertThat(c.training().memoryBudget().bytes()).isEqualTo(6_000_000_000L);
        assertThat(c.training().saveTotalLimit()).isNull();
        assertThat(c.training().evalSteps()).isEqualTo(16);
    }

    @Test
    void targetModules_isAListOrAnExpressionOrPeftsDefault() {
        assertThat(targets("[q_proj]")).isEqualTo(TargetModules.names("q_proj"));
        assertThat(targets("'.*\\.(q|v)_proj'")).isEqualTo(new TargetModules.Regex(".*\\.(q|v)_proj"));
        String python = "(?P<front>.*)_proj";
        assertThat(targets("'" + python + "'")).isEqualTo(new TargetModules.Regex(python));
        assertThat(targets("null")).isEqualTo(new TargetModules.ModelDefault());
    }

    @Test
    void twoBracesInATemplate_areText() {
        String yaml = "model: {path: m}\ndata: {train: a, template: {prompt: '{{json}} {{{instruction}}}'}}";
        assertThat(parse(yaml).data().template())
                .isEqualTo(new TemplateChoice.Custom("{{json}} {{{instruction}}}", null, null, "{output}"));
    }

    @Test
    void sets_winOverTheFileAndNameThemselvesInErrors() {
        LoadedConfig c = ConfigFile.parse(
                LEAST,
                "f.yaml",
                List.of(
                        "training.max_steps=10",
                        "training.max_steps=12",
                        "quantization.blocksize=128",
                        "lora.adapter=",
                        "data.train=[x, y]"));
        assertThat(c.config().training().maxSteps()).isEqualTo(12);
        assertThat(c.config().quantization().blocksize()).isEqualTo(128);
        assertThat(c.config().lora().adapter()).isNull();
        assertThat(c.config().data().train()).containsExactly("x", "y");
        assertThat(c.isExplicit("training.max_steps")).isTrue();
        assertThat(c.isExplicit("model.path")).isTrue();
        assertThat(c.isExplicit("lora.r")).isFalse();
        assertThat(problems(LEAST, "training.max_steps=x", "training.max_step=1", "oops", "=3", "lora.r=[", "seed=1"))
                .containsExactlyInAnyOrder(
                        "--set oops: expected section.key=value, such as training.max_steps=100",
                        "--set =3: expected section.key=value, such as training.max_steps=100",
                        problems(LEAST, "lora.r=[").get(0));
        assertThat(problems(LEAST, "training.max_steps=x", "training.max_step=1", "seed=1"))
                .containsExactlyInAnyOrder(
                        "--set training.max_steps=x: training.max_steps: expected a whole number of at least -1; got \"x\"",
                        "--set training.max_step=1: training.max_step: unknown key; did you mean max_steps?",
                        "--set seed=1: seed: unknown key here; it belongs under training");
    }

    @Test
    void byteOrderMarkAndWindowsLineEnds_areRead(@TempDir Path dir) throws IOException {
        Path file = Files.writeString(dir.resolve("bom.yaml"), "\uFEFF" + LEAST.replace("\n", "\r\n"));
        assertThat(ConfigFile.load(file, List.of()).config()).isEqualTo(parse(LEAST));
    }

    private static TargetModules targets(String yaml) {
        return parse(LEAST + "lora: {target_modules: " + yaml + "}").lora().targetModules();
    }

    static RunConfig parse(String text) {
        return ConfigFile.parse(text, "f.yaml", List.of()).config();
    }

    static List<String> problems(String text, String... sets) {
        ConfigException e =
                catchThrowableOfType(ConfigException.class, () -> ConfigFile.parse(text, "f.yaml", List.of(sets)));
        assertThat(e).as(text.length() > 500 ? "long text" : text).isNotNull();
        return e.problems().stream().map(Problem::toString).toList();
    }
}
