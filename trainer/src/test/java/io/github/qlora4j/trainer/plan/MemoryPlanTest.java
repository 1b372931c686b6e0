package io.github.qlora4j.trainer.plan;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.github.qlora4j.peft.Bias;
import io.github.qlora4j.peft.LoraConfig;
import io.github.qlora4j.peft.TargetModules;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.trainer.config.OptimizerName;
import io.github.qlora4j.trainer.model.Family.Linear;
import io.github.qlora4j.trainer.model.ModelConfig;
import io.github.qlora4j.trainer.plan.PlanSettings.Trained;
import io.github.qlora4j.trainer.plan.Quantized.EightBit;
import io.github.qlora4j.trainer.plan.Quantized.FourBit;
import io.github.qlora4j.trainer.plan.Quantized.InDirectory;
import io.github.qlora4j.trainer.report.Figures;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.Reader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Counts are those of transformers and peft; see {@code scripts/golden/footprint.py}. */
class MemoryPlanTest {
    private static final Trained NOTHING = new Trained(0, 0, 0);

    @TempDir
    Path dir;

    private static JsonObject golden() {
        try (Reader in = new InputStreamReader(
                MemoryPlanTest.class.getResourceAsStream("/golden/plan/footprint.json"), StandardCharsets.UTF_8)) {
            return JsonParser.parseReader(in).getAsJsonObject();
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    static Stream<Map.Entry<String, JsonElement>> counted() {
        return golden().getAsJsonObject("counted").entrySet().stream();
    }

    static Stream<Map.Entry<String, JsonElement>> loaded() {
        return golden().getAsJsonObject("loaded").entrySet().stream();
    }

    private ModelShape shape(JsonObject config) throws IOException {
        Files.writeString(dir.resolve("config.json"), config.toString());
        return new ModelShape(ModelConfig.read(dir));
    }

    private static PlanSettings settings(Trained trained, Quantized quantized) {
        return new PlanSettings(
                Dtype.BFLOAT16,
                quantized,
                Dtype.BFLOAT16,
                false,
                trained,
                Dtype.BFLOAT16,
                OptimizerName.PAGED_ADAMW_32BIT,
                64 << 20,
                2 * 512,
                Integer.MAX_VALUE,
                null);
    }

    private static LoraConfig lora(JsonObject keys) {
        LoraConfig.Builder lora = LoraConfig.builder().optR(keys.get("r").getAsInt());
        JsonElement targets = keys.get("target_modules");
        lora.optTargetModules(
                targets.isJsonArray()
                        ? new TargetModules.Names(strings(targets))
                        : TargetModules.ofString(targets.getAsString()));
        if (keys.has("layers_to_transform")) {
            lora.optLayersToTransform(keys.getAsJsonArray("layers_to_transform").asList().stream()
                    .map(JsonElement::getAsInt)
                    .toList());
        }
        if (keys.has("rank_pattern")) {
            Map<String, Integer> ranks = new LinkedHashMap<>();
            keys.getAsJsonObject("rank_pattern")
                    .entrySet()
                    .forEach(e -> ranks.put(e.getKey(), e.getValue().getAsInt()));
            lora.optRankPattern(ranks);
        }
        if (keys.has("bias")) {
            lora.optBias(Bias.ofPeftName(keys.get("bias").getAsString()));
        }
        if (keys.has("modules_to_save")) {
            lora.optModulesToSave(strings(keys.get("modules_to_save")));
        }
        return lora.build();
    }

    private static List<String> strings(JsonElement array) {
        return array.getAsJsonArray().asList().stream()
                .map(JsonElement::getAsString)
                .toList();
    }

    @ParameterizedTest
    @MethodSource("counted")
    void parameters_arePefts(Map.Entry<String, JsonElement> named) throws IOException {
        JsonObject row = named.getValue().getAsJsonObject();
        ModelShape shape = shape(row.getAsJsonObject("config"));
        MemoryPlan plan = MemoryPlan.of(shape, settings(shape.trained(lora(row.getAsJsonObject("lora"))), null));
        assertThat(plan.trainable()).isEqualTo(row.get("trainable").getAsLong());
        assertThat(plan.parameters()).isEqualTo(row.get("parameters").getAsLong());
    }

    @Test
    void layersLeftOutAreCountedAsTheyAre_inBothPlanAndFootprint() throws IOException {
        ModelShape shape = shape(
                counted().findFirst().orElseThrow().getValue().getAsJsonObject().getAsJsonObject("config"));
        Linear first = shape.linears().get(0);
        String left = "model.layers.0." + first.name();
        MemoryPlan all = MemoryPlan.of(shape, settings(NOTHING, new InDirectory(new EightBit(), Set.of(), false)));
        MemoryPlan less = MemoryPlan.of(shape, settings(NOTHING, new InDirectory(new EightBit(), Set.of(left), false)));

        long weights = first.out() * first.in();
        // two bytes where there was one
        assertThat(less.footprintBytes() - all.footprintBytes()).isEqualTo(weights);
        Map<String, Long> of = items(all, 0);
        Map<String, Long> ofLess = items(less, 0);
        assertThat(of).doesNotContainKey("linear layers left as they are");
        assertThat(ofLess).containsEntry("linear layers left as they are", 2 * weights);
        assertThat(of.get("linear layers, 8-bit codes") - ofLess.get("linear layers, 8-bit codes"))
                .isEqualTo(weights);
        assertThat(of.get("linear layers, scales") - ofLess.get("linear layers, scales"))
                .isEqualTo(first.out() * Float.BYTES);
    }

    @ParameterizedTest
    @MethodSource("loaded")
    void footprint_isTransformers(Map.Entry<String, JsonElement> named) throws IOException {
        for (JsonElement element : named.getValue().getAsJsonArray()) {
            JsonObject row = element.getAsJsonObject();
            Quantized quantized = row.has("int8")
                    ? new EightBit()
                    : row.get("double_quant").isJsonNull()
                            ? null
                            : new FourBit(64, row.get("double_quant").getAsBoolean());
            MemoryPlan plan = MemoryPlan.of(shape(row.getAsJsonObject("config")), settings(NOTHING, quantized));
            assertThat(plan.footprintBytes())
                    .as(row.toString())
                    .isEqualTo(row.get("footprint").getAsLong());
        }
    }

    @Test
    void doubleQuantization_saves037BitsAWeight() throws IOException {
        ModelShape shape = shape(config("llama-2-7b q,v"));
        long once = scales(MemoryPlan.of(shape, settings(NOTHING, new FourBit(64, false))));
        long twice = scales(MemoryPlan.of(shape, settings(NOTHING, new FourBit(64, true))));
        double weights = shape.layers() * shape.blockWeights();
        // QLoRA, section 3: 32/64 bits a weight against 8/64 + 32/(64 * 256).
        assertThat(once * 8 / weights).isCloseTo(0.5, within(1e-6));
        assertThat(twice * 8 / weights).isCloseTo(0.127, within(1e-3));
    }

    private static long scales(MemoryPlan plan) {
        return plan.stages().get(0).items().stream()
                .filter(item -> item.name().equals("linear layers, scales"))
                .mapToLong(MemoryPlan.Item::bytes)
                .sum();
    }

    @Test
    void withinABudget_asFewLayersAsNeededAreComputedAgain() throws IOException {
        ModelShape shape = shape(config("llama-2-7b q,v"));
        PlanSettings settings = settings(new Trained(4_194_304, 0, 0), new FourBit(64, true));
        long all = MemoryPlan.of(shape, settings.recomputing(shape.layers())).peakBytes();
        long none = MemoryPlan.of(shape, settings.recomputing(0)).peakBytes();
        assertThat(none).isGreaterThan(all);
        MemoryPlan between = MemoryPlan.within(shape, settings, (all + none) / 2);
        assertThat(between.peakBytes()).isLessThanOrEqualTo((all + none) / 2);
        assertThat(between.settings().recomputedLayers()).isBetween(1, shape.layers() - 1);
        assertThat(MemoryPlan.within(shape, settings, Long.MAX_VALUE).settings().recomputedLayers())
                .isZero();
        assertThat(MemoryPlan.within(shape, settings, none).settings().recomputedLayers())
                .isZero();
        assertThat(MemoryPlan.within(shape, settings, 0).settings().recomputedLayers())
                .isEqualTo(shape.layers());
    }

    @Test
    void everyStage_sumsItsItems_andThePeakIsTheLargest() throws IOException {
        MemoryPlan plan = MemoryPlan.of(
                shape(config("mistral-7b")),
                settings(new Trained(1_000_000, 0, 0), new FourBit(64, true)).recomputing(32));
        for (MemoryPlan.Stage stage : plan.stages()) {
            assertThat(stage.bytes())
                    .isEqualTo(stage.items().stream()
                            .mapToLong(MemoryPlan.Item::bytes)
                            .sum());
            assertThat(stage.items()).allMatch(item -> item.bytes() > 0);
            assertThat(plan.peakBytes()).isGreaterThanOrEqualTo(stage.bytes());
        }
        assertThat(plan.json().get("peak_bytes").getAsLong()).isEqualTo(plan.peakBytes());
    }

    @Test
    void sizesThatNoModelHas_areRefused_beforeTheyOverflow() {
        JsonObject config = config("llama-2-7b q,v");
        config.addProperty("hidden_size", 2_000_000_000);
        config.addProperty("head_dim", 128);
        assertThatThrownBy(() -> shape(config))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("hidden_size");
    }

    @ParameterizedTest
    @CsvSource({
        "hidden_size, 1048576",
        "intermediate_size, 1048576",
        "num_attention_heads, 4096",
        "vocab_size, 4194304",
        "num_hidden_layers, 10000",
    })
    void theLargestSizes_areTaken_andOneMoreIsRefused(String key, int most) throws IOException {
        JsonObject config = config("llama-2-7b q,v");
        config.addProperty("head_dim", 128);
        config.addProperty("num_key_value_heads", 1);
        config.addProperty(key, most);
        assertThat(shape(config).layers()).isPositive();
        config.addProperty(key, most + 1);
        assertThatThrownBy(() -> shape(config))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("config.json: " + key)
                .hasMessageContaining("to " + most + ", got ");
    }

    @Test
    void headsTimesTheirWidth_areBounded() throws IOException {
        JsonObject config = config("llama-2-7b q,v");
        config.addProperty("num_key_value_heads", 1);
        config.addProperty("num_attention_heads", 4096);
        config.addProperty("head_dim", 256);
        assertThat(shape(config).layers()).isPositive();
        config.addProperty("head_dim", 258);
        assertThatThrownBy(() -> shape(config))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("config.json: num_attention_heads x head_dim is 1056768; at most 1048576");
    }

    @Test
    void biasesOfTargets_areThoseThatTheModelHas() throws IOException {
        ModelShape qwen = new ModelShape(ModelConfig.read(Path.of("src/test/resources/golden/models/qwen2")));
        LoraConfig lora = LoraConfig.builder()
                .optTargetModules("k_proj", "down_proj")
                .optBias(Bias.LORA_ONLY)
                .build();
        // two key heads of 16 in each layer; down_proj has no bias
        assertThat(qwen.trained(lora).biases()).isEqualTo(32L * qwen.layers());
        assertThat(small().trained(lora).biases()).isZero();
    }

    // Counted by hand: hidden 32, 4 heads and 2 key heads of 8, MLP 48, 2 layers, vocabulary 96, 100 tokens.
    private static final long BLOCK = 32 * 32 + 2 * 16 * 32 + 32 * 32 + 3 * 32 * 48;
    private static final long NORMS = 5 * 32;
    private static final long TABLE = 96 * 32;
    private static final long PROGRAM = 300_000_000;
    private static final long CHECKPOINT = (2 * 32 + 32) * 2;
    private static final long PARTS = (8 * 8 + 2 * 48) * 2;
    private static final long WORK = (6 * 32 + 4 * 48) * 2 + 2 * PARTS + 16 * 32;
    private static final long SCORES = 3 * 4 * 100 * 100 * 2 + 100 * 32 * 2;

    private static ModelShape small() {
        return new ModelShape(ModelConfig.read(Path.of("src/test/resources/golden/models/mistral")));
    }

    private static PlanSettings small(FourBit fourBit, boolean upcast, Dtype adapter, OptimizerName optimizer) {
        return new PlanSettings(
                Dtype.BFLOAT16,
                fourBit,
                Dtype.BFLOAT16,
                upcast,
                new Trained(1000, 20, 4),
                adapter,
                optimizer,
                5000,
                100,
                1,
                null);
    }

    private static Map<String, Long> items(MemoryPlan plan, int stage) {
        Map<String, Long> items = new LinkedHashMap<>();
        plan.stages().get(stage).items().forEach(item -> items.put(item.name(), item.bytes()));
        return items;
    }

    @Test
    void everyItem_ofAQuantizedRun_isWhatIsKept() {
        MemoryPlan plan = MemoryPlan.of(
                small(), small(new FourBit(64, true), false, Dtype.BFLOAT16, OptimizerName.PAGED_ADAMW_32BIT));
        long scales = 2 * (2 * (16 + 4 + 4) + 2 * (8 + 4 + 4) + 3 * (24 + 4 + 4));
        Map<String, Long> base = new LinkedHashMap<>();
        base.put("program and libraries", PROGRAM);
        base.put("embeddings", TABLE * 2);
        base.put("head", TABLE * 2);
        base.put("norms and biases", NORMS * 2);
        base.put("linear layers, 4-bit codes", 2 * BLOCK / 2);
        base.put("linear layers, scales", scales);
        Map<String, Long> load = new LinkedHashMap<>(base);
        load.put("the largest tensor while it is quantized", 32L * 48 * (2 + 4));
        assertThat(items(plan, 0)).containsExactlyEntriesOf(load);
        Map<String, Long> step = new LinkedHashMap<>(base);
        step.put("adapter", 1024L * 2);
        step.put("gradients (float32)", 1024L * 4);
        step.put("a layer's weights, dequantized or cast", BLOCK * 2);
        step.put("activations of layers computed again", 100 * CHECKPOINT);
        step.put("activations of layers kept whole", 100 * (CHECKPOINT + PARTS));
        step.put("the layer in work", 100 * WORK);
        step.put("a chunk of the head, or attention's scores", SCORES);
        assertThat(items(plan, 1)).containsExactlyEntriesOf(step);
        Map<String, Long> update = new LinkedHashMap<>(base);
        update.put("adapter", 1024L * 2);
        update.put("gradients (float32)", 1024L * 4);
        update.put("optimizer state", 5000L);
        assertThat(items(plan, 2)).containsExactlyEntriesOf(update);
    }

    @Test
    void everyItem_ofAnUnquantizedRun_isWhatIsKept() {
        MemoryPlan plan = MemoryPlan.of(
                small(),
                small(null, true, Dtype.FLOAT32, OptimizerName.ADAMW_TORCH).recomputing(0));
        assertThat(items(plan, 0))
                .containsOnly(
                        Map.entry("program and libraries", PROGRAM),
                        Map.entry("embeddings", TABLE * 4),
                        Map.entry("head", TABLE * 4),
                        Map.entry("norms and biases", NORMS * 4),
                        Map.entry("linear layers", 2 * BLOCK * 2));
        assertThat(items(plan, 1))
                .containsEntry("adapter", 1024L * 4)
                .containsEntry("optimizer state", 1024L * 8)
                .containsEntry("the layer in work", 100 * (WORK * 2 - 16 * 32))
                .containsEntry("activations of layers kept whole", 2 * 100 * 2 * (CHECKPOINT + PARTS))
                .doesNotContainKeys(
                        "adapter's float32 master copy",
                        "a layer's weights, dequantized or cast",
                        "activations of layers computed again");
        assertThat(items(plan, 2)).containsEntry("optimizer state", 1024L * 8);
        assertThat(plan.parameters()).isEqualTo(2 * BLOCK + NORMS + 2 * TABLE + 1004);
        assertThat(plan.footprintBytes()).isEqualTo((2 * BLOCK + NORMS + 2 * TABLE) * 2 + 8 * 4);
    }

    @Test
    void biases_areKeptInTheDtypeOfTheNorms() {
        ModelShape qwen = new ModelShape(ModelConfig.read(Path.of("src/test/resources/golden/models/qwen2")));
        MemoryPlan plan = MemoryPlan.of(qwen, small(null, false, Dtype.FLOAT32, OptimizerName.ADAMW_TORCH));
        assertThat(qwen.biases()).isPositive();
        assertThat(items(plan, 0)).containsEntry("norms and biases", (qwen.norms() + qwen.biases()) * 2);
    }

    @Test
    void optimizerState_isCounted_inItsForm() {
        FourBit once = new FourBit(64, false);
        MemoryPlan eight = MemoryPlan.of(small(), small(once, false, Dtype.BFLOAT16, OptimizerName.ADAMW_8BIT));
        assertThat(items(eight, 1))
                .containsEntry("linear layers, scales", 2 * (2 * 16 + 2 * 8 + 3 * 24) * 4L)
                .containsEntry("adapter's float32 master copy", 1024L * 4)
                .containsEntry("optimizer state", 2 * (1024L + 4 * 4));
        // paged: what no update holds at once stays out, and the master copy is paged too
        MemoryPlan paged = MemoryPlan.of(small(), small(once, true, Dtype.BFLOAT16, OptimizerName.PAGED_ADAMW_8BIT));
        assertThat(items(paged, 1)).doesNotContainKeys("optimizer state", "adapter's float32 master copy");
        assertThat(items(paged, 2)).containsEntry("optimizer state", 5000L);
        MemoryPlan all = MemoryPlan.of(small(), small(once, true, Dtype.FLOAT32, OptimizerName.PAGED_ADAMW_8BIT));
        assertThat(items(all, 2)).containsEntry("optimizer state", 2 * (1024L + 4 * 4));
    }

    @Test
    void aBaseOfAnotherDtype_isCastTensorByTensor() {
        PlanSettings cast = new PlanSettings(
                Dtype.FLOAT32,
                null,
                Dtype.FLOAT32,
                false,
                NOTHING,
                Dtype.FLOAT32,
                OptimizerName.ADAMW_TORCH,
                1,
                300,
                0,
                null);
        MemoryPlan plan = MemoryPlan.of(small(), cast);
        assertThat(items(plan, 0))
                .containsEntry("the largest tensor while it is cast", TABLE * 2)
                .containsEntry("linear layers", 2 * BLOCK * 4);
        // the scores of 4 heads are more than the logits of 256 positions
        assertThat(items(plan, 1))
                .containsEntry("a chunk of the head, or attention's scores", 3L * 4 * 300 * 300 * 4 + 300L * 32 * 4);
    }

    @Test
    void theTable_andTheJson_sayTheSame() {
        MemoryPlan plan = MemoryPlan.of(
                small(), small(new FourBit(64, true), false, Dtype.BFLOAT16, OptimizerName.PAGED_ADAMW_32BIT));
        assertThat(plan.lines().get(0))
                .isEqualTo("memory footprint of the base: " + Figures.bytes(plan.footprintBytes()) + "; planned peak: "
                        + Figures.bytes(plan.peakBytes()));
        assertThat(plan.lines())
                .hasSize(1 + 3 + 7 + 13 + 9)
                .contains(
                        "  load                            300 MB",
                        "    embeddings                                   6.14 kB");
        JsonObject json = plan.json();
        assertThat(json.get("model_type").getAsString()).isEqualTo("mistral");
        assertThat(json.get("base_parameters").getAsLong()).isEqualTo(2 * BLOCK + NORMS + 2 * TABLE);
        assertThat(json.get("parameters").getAsLong()).isEqualTo(plan.parameters());
        assertThat(json.get("trainable_parameters").getAsLong()).isEqualTo(1024);
        assertThat(json.get("footprint_bytes").getAsLong()).isEqualTo(plan.footprintBytes());
        assertThat(json.get("recomputed_layers").getAsInt()).isEqualTo(1);
        assertThat(json.getAsJsonArray("stages")).hasSize(3);
        JsonObject load = json.getAsJsonArray("stages").get(0).getAsJsonObject();
        assertThat(load.get("stage").getAsString()).isEqualTo("load");
        assertThat(load.get("bytes").getAsLong()).isEqualTo(plan.stages().get(0).bytes());
        assertThat(load.getAsJsonObject("items").get("embeddings").getAsLong()).isEqualTo(TABLE * 2);
    }

    private static JsonObject config(String name) {
        return golden().getAsJsonObject("counted").getAsJsonObject(name).getAsJsonObject("config");
    }
}
