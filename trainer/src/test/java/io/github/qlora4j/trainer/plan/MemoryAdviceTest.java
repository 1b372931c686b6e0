package io.github.qlora4j.trainer.plan;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.trainer.config.RunConfig;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** On a tiny model with batches so large that activations outweigh everything else. */
class MemoryAdviceTest {

    private static RunConfig run(Object... keysAndValues) {
        var builder = RunConfig.builder()
                .setModel(Path.of("src/test/resources/golden/models/llama"))
                .setTrain("none.json")
                .setOutputDir(Path.of("none"))
                .opt("training.per_device_train_batch_size", 4096)
                .opt("training.gradient_accumulation_steps", 3)
                .opt("data.max_length", 1024);
        for (int i = 0; i < keysAndValues.length; i += 2) {
            builder.opt((String) keysAndValues[i], keysAndValues[i + 1]);
        }
        return builder.build();
    }

    private static List<String> keys(MemoryAdvice advice) {
        return advice.remedies().stream().map(MemoryAdvice.Remedy::keys).toList();
    }

    @Test
    void whatChangesNoResultComesFirst() {
        MemoryAdvice advice = MemoryAdvice.of(run("training.gradient_checkpointing", false), Dtype.BFLOAT16);
        assertThat(keys(advice))
                .startsWith(
                        "training.gradient_checkpointing: true",
                        "training.per_device_train_batch_size: 2048, training.gradient_accumulation_steps: 6")
                .contains("data.max_length: 512")
                .doesNotContain("lora.r: 4");
    }

    @Test
    void eachRemedyIsPlannedSmallerThanTheRun() {
        MemoryAdvice advice = MemoryAdvice.of(run("training.gradient_checkpointing", false), Dtype.BFLOAT16);
        assertThat(advice.remedies())
                .isNotEmpty()
                .allMatch(remedy -> remedy.peakBytes() < advice.plan().peakBytes());
    }

    @Test
    void whatIsSetAlreadyIsNotAdvised() {
        MemoryAdvice advice = MemoryAdvice.of(
                run("training.per_device_train_batch_size", 1, "data.max_length", 65536), Dtype.BFLOAT16);
        assertThat(keys(advice))
                .doesNotContain("training.gradient_checkpointing: true")
                .noneMatch(k -> k.contains("batch"));
    }

    @Test
    void theDiskIsAdvisedWhereTheBaseIsInMemory() {
        RunConfig run = run("training.per_device_train_batch_size", 1, "data.max_length", 64);
        assertThat(keys(MemoryAdvice.of(run, Dtype.BFLOAT16))).contains("model.device_map: disk");
        assertThat(keys(MemoryAdvice.of(run.with("quantization.load_in_4bit", true), Dtype.BFLOAT16)))
                .contains("model.device_map: disk, model.offload_folder: DIR");
        assertThat(keys(MemoryAdvice.of(run.with("model.device_map", "disk"), Dtype.BFLOAT16)))
                .noneMatch(key -> key.contains("device_map"));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "{\"quant_method\": \"bitsandbytes\", \"load_in_8bit\": true} |",
                "{\"quant_method\": \"bitsandbytes\", \"load_in_4bit\": true} |",
                "{\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": 32} |",
                "{\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": 32} | gptq"
            })
    void aBaseThatIsStoredQuantized_isNotAdvisedToBe(String settings, String method, @TempDir Path dir)
            throws IOException {
        String config = Files.readString(Path.of("src/test/resources/golden/models/llama/config.json"));
        Files.writeString(
                dir.resolve("config.json"), config.replaceFirst("\\{", "{\"quantization_config\": " + settings + ","));
        RunConfig run =
                method == null ? run("model.path", dir) : run("model.path", dir, "quantization.quant_method", method);
        assertThat(keys(MemoryAdvice.of(run, Dtype.BFLOAT16)))
                .contains("data.max_length: 512")
                .noneMatch(key -> key.contains("load_in_4bit"));
    }

    @Test
    void aBudgetGoesWithTheChoiceItBelongsTo() {
        MemoryAdvice advice = MemoryAdvice.of(
                run("training.gradient_checkpointing", "auto", "training.memory_budget", "900GB"), Dtype.BFLOAT16);
        assertThat(keys(advice)).startsWith("training.gradient_checkpointing: true");
    }

    @Test
    void thePlansLargestStageAndThreeRemediesAreShown() {
        List<String> lines = MemoryAdvice.of(run("training.gradient_checkpointing", false), Dtype.BFLOAT16)
                .lines();
        assertThat(lines.get(0)).startsWith("planned peak: ").endsWith(", in forward and backward");
        assertThat(lines.get(1)).contains("the layer in work");
        assertThat(lines).filteredOn(line -> line.contains(" planned (")).hasSize(3);
    }
}
