package io.github.qlora4j.peft;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.github.qlora4j.quant.QloraException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class LoraConfigTest {

    private static final List<ModuleInfo> MODULES = List.of(
            ModuleInfo.linear("model.layers.0.self_attn.q_proj", 8, 8),
            ModuleInfo.linear("model.layers.0.self_attn.v_proj", 8, 8),
            ModuleInfo.linear("model.layers.0.mlp.gate_proj", 8, 8));

    @TempDir
    Path dir;

    @Test
    void hasPeftsDefaults() {
        LoraConfig config = LoraConfig.builder().build();
        assertThat(config.r()).isEqualTo(8);
        assertThat(config.loraAlpha()).isEqualTo(8);
        assertThat(config.loraDropout()).isZero();
        assertThat(config.targetModules()).isEqualTo(new TargetModules.ModelDefault());
        assertThat(config.bias()).isEqualTo(Bias.NONE);
        assertThat(config.toBuilder().build()).isEqualTo(config);
    }

    @Test
    void namesTheKeyThatIsWrong() {
        assertWrong(b -> b.optR(0), "r is 0");
        assertWrong(b -> b.optLoraAlpha(Double.NaN), "lora_alpha");
        assertWrong(b -> b.optLoraDropout(1), "lora_dropout is 1.0");
        assertWrong(b -> b.optRankPattern(Map.of("q_proj", -1)), "rank_pattern 'q_proj' is -1");
        assertWrong(b -> b.optRankPattern(Map.of("q_proj(", 1)), "rank_pattern is not a regular expression");
        assertWrong(b -> b.optLayersPattern(List.of("layers")), "layers_to_transform is not");
        assertWrong(b -> b.optLayersToTransform(List.of(-1)), "layers_to_transform holds -1");
        assertWrong(
                b -> b.optTargetModules(new TargetModules.AllLinear()).optLayersToTransform(List.of(1)),
                "layers_to_transform cannot be used");
        assertThatThrownBy(() -> TargetModules.ofString("q_proj("))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("q_proj(");
    }

    @Test
    void namesTheKeyThatIsWrongAtTheEdgesToo() {
        assertWrong(b -> b.optLoraDropout(-0.1), "lora_dropout is -0.1. It must be at least 0 and below 1.");
        assertWrong(
                b -> b.optAlphaPattern(Map.of("q_proj", Double.POSITIVE_INFINITY)), "alpha_pattern 'q_proj' is Inf");
        assertWrong(b -> b.optAlphaPattern(Map.of("q_proj(", 1.0)), "alpha_pattern is not a regular expression");
        assertWrong(b -> b.optModulesToSave(List.of(" ")), "modules_to_save holds an empty name");
        assertWrong(b -> b.optModulesToSave(List.of("(")), "modules_to_save is not a regular expression");
        assertWrong(
                b -> b.optLayersToTransform(List.of(1)).optLayersPattern(List.of("(")),
                "layers_pattern is not a regular expression");
        assertWrong(b -> b.optExcludeModules(new TargetModules.AllLinear()), "exclude_modules must be a list");
        assertWrong(
                b -> b.optTargetModules(new TargetModules.Regex("q")).optLayersToTransform(List.of(1)),
                "layers_to_transform cannot be used");
        assertWrong(
                b -> b.optTargetModules(new TargetModules.Regex("q")).optLayersPattern(List.of("h")),
                "layers_pattern cannot be used");
        assertThatThrownBy(() -> TargetModules.names("q_proj", " "))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("target_modules holds an empty name");
        LoraConfig least = LoraConfig.builder()
                .optR(1)
                .optLoraDropout(0)
                .optExcludeModules(new TargetModules.Regex("q"))
                .optLayersToTransform(List.of(0))
                .build();
        assertThat(least.layersToTransform()).containsExactly(0);
    }

    @Test
    void aBuilderKeepsEveryFieldOfTheConfigurationItStartsFrom() {
        LoraConfig config = LoraConfig.builder()
                .optR(3)
                .optLoraAlpha(5)
                .optLoraDropout(0.25)
                .optTargetModules(TargetModules.names("k_proj"))
                .optExcludeModules(TargetModules.names("o_proj"))
                .optInitLoraWeights(InitLoraWeights.GAUSSIAN)
                .optUseRslora(true)
                .optRankPattern(Map.of("a", 2))
                .optAlphaPattern(Map.of("b", 4.0))
                .optLayersToTransform(List.of(1))
                .optLayersPattern(List.of("h"))
                .optBias(Bias.ALL)
                .optModulesToSave(List.of("lm_head"))
                .optFanInFanOut(true)
                .build();
        assertThat(config.toBuilder().build()).isEqualTo(config);
        assertThat(config)
                .isEqualTo(new LoraConfig(
                        3,
                        5,
                        0.25,
                        TargetModules.names("k_proj"),
                        TargetModules.names("o_proj"),
                        InitLoraWeights.GAUSSIAN,
                        true,
                        Map.of("a", 2),
                        Map.of("b", 4.0),
                        List.of(1),
                        List.of("h"),
                        Bias.ALL,
                        List.of("lm_head"),
                        true));
        assertThat(config.scaling(4, 6)).isEqualTo(3);
        assertThat(config.toBuilder().optUseRslora(false).build().scaling(4, 6)).isEqualTo(1.5);
    }

    private static void assertWrong(UnaryOperator<LoraConfig.Builder> change, String message) {
        LoraConfig.Builder builder = change.apply(LoraConfig.builder());
        assertThatThrownBy(builder::build).isInstanceOf(QloraException.class).hasMessageContaining(message);
    }

    @ParameterizedTest
    @CsvSource({"q_prj, q_proj", "gateproj, gate_proj", "self_atn.v_proj, self_attn.v_proj"})
    void namesWhatAMisspeltTargetMayHaveMeant(String wrong, String meant) {
        LoraConfig alone = LoraConfig.builder().optTargetModules(wrong).build();
        assertThatThrownBy(() -> TargetModules.resolve(alone, MODULES, null))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("Nearest to '" + wrong + "': " + meant);
        LoraConfig besides =
                LoraConfig.builder().optTargetModules("q_proj", wrong).build();
        assertThatThrownBy(() -> TargetModules.resolve(besides, MODULES, null))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("Nearest to '" + wrong + "': " + meant);
    }

    @Test
    void namesAModuleToSaveThatIsNotThere() {
        LoraConfig config =
                LoraConfig.builder().optModulesToSave(List.of("lm_haed")).build();
        List<ModuleInfo> modules = List.of(ModuleInfo.outputHead("lm_head", 8, 8), MODULES.get(0));
        assertThatThrownBy(() -> TargetModules.resolveModulesToSave(config, modules))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("lm_haed")
                .hasMessageContaining("lm_head");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "\"use_dora\": true",
                "\"lora_bias\": true",
                "\"megatron_config\": {\"a\": 1}",
                "\"eva_config\": {\"rho\": 2}",
                "\"trainable_token_indices\": [1, 2]",
                "\"alora_invocation_tokens\": [3]",
                "\"target_parameters\": [\"experts.w\"]",
                "\"layer_replication\": [[0, 4]]",
                "\"loftq_config\": {\"bits\": 4}",
                "\"ensure_weight_tying\": true",
                "\"init_lora_weights\": \"pissa\"",
                "\"peft_type\": \"IA3\"",
                "\"r\": \"8\"",
                "\"bias\": \"some\"",
                "\"target_modules\": [1]"
            })
    void refusesAFileThatAsksForWhatIsNotSupported(String entry) throws IOException {
        JsonObject json =
                JsonParser.parseString("{\"peft_type\": \"LORA\", \"r\": 8}").getAsJsonObject();
        JsonParser.parseString("{" + entry + "}")
                .getAsJsonObject()
                .entrySet()
                .forEach(e -> json.add(e.getKey(), e.getValue()));
        Files.writeString(dir.resolve(AdapterConfigFile.NAME), json.toString());
        String key = entry.substring(1, entry.indexOf('"', 1));
        assertThatThrownBy(() -> AdapterConfigFile.read(dir))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining(AdapterConfigFile.NAME)
                .hasMessageContaining(key);
    }

    @Test
    void readsTheFifteenKeysOfAnOldFile() throws IOException {
        Files.writeString(dir.resolve(AdapterConfigFile.NAME), """
                {"auto_mapping": null, "base_model_name_or_path": "llama", "bias": "none", "fan_in_fan_out": false,
                 "inference_mode": true, "init_lora_weights": true, "layers_pattern": null, "layers_to_transform": null,
                 "lora_alpha": 16.0, "lora_dropout": 0.05, "modules_to_save": null, "peft_type": "LORA", "r": 64,
                 "revision": null, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}
                """);
        AdapterConfigFile file = AdapterConfigFile.read(dir);
        assertThat(file.baseModelNameOrPath()).isEqualTo("llama");
        assertThat(file.lora())
                .isEqualTo(LoraConfig.builder()
                        .optR(64)
                        .optLoraAlpha(16)
                        .optLoraDropout(0.05)
                        .optTargetModules("q_proj", "v_proj")
                        .build());
    }

    @ParameterizedTest
    @CsvSource({"0.0, 0.0", "0.05, 0.05", "0.0001, 0.0001", "0.00001, 1e-05", "0.000025, 2.5e-05"})
    void writesNumbersAsPythonDoes(double dropout, String python) {
        LoraConfig config = LoraConfig.builder().optLoraDropout(dropout).build();
        assertThat(AdapterConfigFile.of(config, null).toJson()).contains("\"lora_dropout\": " + python + ",\n");
    }

    @Test
    void refusesAnExpressionThatIsNestedTooDeeply_andShowsItsBeginningAlone() {
        assertThatThrownBy(() -> LoraConfig.builder()
                        .optRankPattern(Map.of("(".repeat(100_000) + ")".repeat(100_000), 3))
                        .build())
                .isInstanceOf(QloraException.class)
                .hasMessageStartingWith("rank_pattern is not a regular expression that can be read: '(((")
                .satisfies(e -> assertThat(e.getMessage()).hasSizeLessThan(500));
    }
}
