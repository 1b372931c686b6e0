package io.github.qlora4j.trainer.report;

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
import io.github.qlora4j.trainer.model.ModelConfig;
import io.github.qlora4j.trainer.report.PlanSettings.EightBit;
import io.github.qlora4j.trainer.report.PlanSettings.FourBit;
import io.github.qlora4j.trainer.report.PlanSettings.Quantized;
import io.github.qlora4j.trainer.report.PlanSettings.Trained;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.Reader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
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
                Integer.MAX_VALUE);
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

    private static JsonObject config(String name) {
        return golden().getAsJsonObject("counted").getAsJsonObject(name).getAsJsonObject("config");
    }
}
