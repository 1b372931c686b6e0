package io.github.qlora4j.peft;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.gson.JsonParser;
import io.github.qlora4j.quant.QloraException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class AdapterConfigFileTest {

    private static final Path FILE = Path.of("adapter_config.json");

    private static AdapterConfigFile read(String entries) {
        String json = "{\"peft_type\": \"LORA\"" + (entries.isEmpty() ? "" : ", ") + entries + "}";
        return new AdapterConfigReader(FILE, JsonParser.parseString(json).getAsJsonObject()).read(key -> {});
    }

    @Test
    void whatAFileLeavesOutIsPeftsDefault() {
        AdapterConfigFile file = read("");
        assertThat(file).isEqualTo(new AdapterConfigFile(LoraConfig.builder().build(), null, null, null, false, null));
    }

    @Test
    void everyKeyIsTaken() {
        AdapterConfigFile file = read("""
                "r": 4.0, "lora_alpha": 2.5, "lora_dropout": 0.5, "use_rslora": true, "fan_in_fan_out": true,
                "target_modules": "all-linear", "exclude_modules": ["lm_head"], "init_lora_weights": "Gaussian",
                "rank_pattern": {"a": 2}, "alpha_pattern": {"b": 1.5}, "modules_to_save": "norm", "bias": "lora_only",
                "base_model_name_or_path": "base", "revision": "v2", "task_type": "CAUSAL_LM",
                "inference_mode": true, "peft_version": "0.1\"""");
        LoraConfig lora = LoraConfig.builder()
                .optR(4)
                .optLoraAlpha(2.5)
                .optLoraDropout(0.5)
                .optUseRslora(true)
                .optFanInFanOut(true)
                .optTargetModules(new TargetModules.AllLinear())
                .optExcludeModules(TargetModules.names("lm_head"))
                .optInitLoraWeights(InitLoraWeights.GAUSSIAN)
                .optRankPattern(Map.of("a", 2))
                .optAlphaPattern(Map.of("b", 1.5))
                .optModulesToSave(List.of("norm"))
                .optBias(Bias.LORA_ONLY)
                .build();
        assertThat(file).isEqualTo(new AdapterConfigFile(lora, "base", "v2", "CAUSAL_LM", true, "0.1"));
        assertThat(read("\"init_lora_weights\": false").lora().initLoraWeights())
                .isEqualTo(InitLoraWeights.RANDOM);
        assertThat(read("\"init_lora_weights\": true").lora().initLoraWeights()).isEqualTo(InitLoraWeights.DEFAULT);
        assertThat(read("\"target_modules\": null, \"exclude_modules\": null, \"r\": null")
                        .lora())
                .isEqualTo(LoraConfig.builder().build());
    }

    @Test
    void keysThatChangeNothingArePassedOver() {
        assertThat(
                        read("\"runtime_config\": {\"a\": 1}, \"loftq_config\": {}, \"use_dora\": false, \"eva_config\": null,"
                                        + " \"target_parameters\": [], \"some_new_key\": 3")
                                .lora())
                .isEqualTo(LoraConfig.builder().build());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '^',
            value = {
                "\"peft_type\": null | peft_type is null. Only LORA adapters are supported.",
                "\"r\": 1.5 | r is 1.5. Expected a whole number.",
                "\"r\": 2147483648 | r is 2147483648. Expected a whole number.",
                "\"r\": true | r is true. Expected a number.",
                "\"r\": 0 | r is 0. A rank must be at least 1.",
                "\"lora_alpha\": \"8\" | lora_alpha is \"8\". Expected a number.",
                "\"lora_dropout\": [] | lora_dropout is []. Expected a number.",
                "\"use_rslora\": 1 | use_rslora is 1. Expected true or false.",
                "\"use_rslora\": {} | use_rslora is {}. Expected true or false.",
                "\"target_modules\": 3 | target_modules is 3. Expected a string.",
                "\"target_modules\": [\"\"] | target_modules holds an empty name. Remove it.",
                "\"target_modules\": \"(\" | target_modules is not a regular expression",
                "\"rank_pattern\": [] | rank_pattern is []. Expected an object.",
                "\"rank_pattern\": {\"a\": 0.5} | rank_pattern.a is 0.5. Expected a whole number.",
                "\"alpha_pattern\": {\"a\": \"x\"} | alpha_pattern.a is \"x\". Expected a number.",
                "\"layers_to_transform\": \"all\" | layers_to_transform is \"all\". Expected a number.",
                "\"layers_pattern\": [1] | layers_pattern is 1. Expected a string.",
                "\"bias\": \"some\" | bias is 'some'. It must be one of none, all, lora_only.",
                "\"init_lora_weights\": \"pissa\" | init_lora_weights is 'pissa', which is not supported",
                "\"init_lora_weights\": 3 | init_lora_weights is 3. Expected a string.",
                "\"loftq_config\": {\"a\": 1} | loftq_config is {\"a\":1}, which is not supported",
                "\"use_qalora\": true | use_qalora is true, which is not supported",
            })
    void whatCannotBeReadIsNamedByFileAndKey(String entries, String message) {
        assertThatThrownBy(() -> read(entries))
                .isInstanceOf(QloraException.class)
                .hasMessageStartingWith(FILE + ": " + message);
    }

    @Test
    void longValuesAreShortened() {
        assertThatThrownBy(() -> read("\"r\": \"" + "x".repeat(78) + "\""))
                .hasMessage(FILE + ": r is \"" + "x".repeat(78) + "\". Expected a number.");
        assertThatThrownBy(() -> read("\"r\": \"" + "x".repeat(79) + "\""))
                .hasMessage(FILE + ": r is \"" + "x".repeat(76) + "…. Expected a number.");
    }

    @Test
    void aLargestRankIsAnInt() {
        assertThat(read("\"r\": 2147483647").lora().r()).isEqualTo(Integer.MAX_VALUE);
    }

    @Test
    void aDirectoryWithoutTheFileIsNoAdapter(@TempDir Path dir) {
        assertThatThrownBy(() -> AdapterConfigFile.read(dir))
                .isInstanceOf(QloraException.class)
                .hasMessage(dir + " is not an adapter directory: it has no adapter_config.json.");
    }

    @Test
    void whatWasWrittenReadsBack(@TempDir Path dir) {
        LoraConfig lora = LoraConfig.builder()
                .optLoraAlpha(0.5)
                .optTargetModules(new TargetModules.Regex(".*q"))
                .optExcludeModules(TargetModules.names("x"))
                .optInitLoraWeights(InitLoraWeights.RANDOM)
                .optAlphaPattern(Map.of("a", 0x1p60, "b", 3.0))
                .build();
        AdapterConfigFile file = new AdapterConfigFile(lora, "base", null, "CAUSAL_LM", true, null);
        file.write(dir);
        assertThat(AdapterConfigFile.read(dir))
                .isEqualTo(
                        new AdapterConfigFile(lora, "base", null, "CAUSAL_LM", true, AdapterConfigFile.PEFT_VERSION));
        assertThat(file.toJson())
                .contains("\"lora_alpha\": 0.5,", "\"a\": 1.152921504606847e+18,", "\"b\": 3\n")
                .contains("\"init_lora_weights\": false,", "\"layers_pattern\": null,");
        assertThat(AdapterConfigFile.of(LoraConfig.builder().build(), null).toJson())
                .contains("\"target_modules\": null,", "\"lora_alpha\": 8,", "\"init_lora_weights\": true,");
        assertThat(AdapterConfigFile.of(
                                LoraConfig.builder()
                                        .optTargetModules(new TargetModules.AllLinear())
                                        .optInitLoraWeights(InitLoraWeights.GAUSSIAN)
                                        .build(),
                                null)
                        .toJson())
                .contains("\"target_modules\": \"all-linear\",", "\"init_lora_weights\": \"gaussian\",");
    }
}
