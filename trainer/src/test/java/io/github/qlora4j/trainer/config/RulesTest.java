package io.github.qlora4j.trainer.config;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Rules between keys: what they refuse, and the neighbour that they let pass. */
class RulesTest {

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "lora.layers_pattern=h | lora.layers_pattern: needs lora.layers_to_transform",
                "lora.layers_to_transform=0 lora.target_modules=all-linear | lora.layers_to_transform: needs a list in lora.target_modules",
                "lora.layers_to_transform=0 lora.target_modules=.*q | lora.layers_to_transform: needs a list in lora.target_modules",
                "data.eval=e data.eval_fraction=0.1 | data.eval_fraction: excludes data.eval; use one of the two",
                "training.warmup_steps=1.5 | training.warmup_steps: expected a whole number of steps, or a share of all steps below 1; got 1.5",
                "training.warmup_ratio=0.1 training.lr_scheduler_type=constant | training.lr_scheduler_type: constant takes no warm-up",
                "training.lr_scheduler_type=polynomial training.learning_rate=0.5 training.lr_scheduler_kwargs.lr_end=0.5 | training.lr_scheduler_kwargs.lr_end: expected less than training.learning_rate (0.5); got 0.5",
                "training.eval_steps=5 training.eval_strategy=epoch data.eval=e | training.eval_steps: cannot be used with training.eval_strategy: epoch",
                "training.early_stopping_patience=1 data.eval=e | training.early_stopping_patience: needs evaluation",
                "training.early_stopping_threshold=0.1 | training.early_stopping_threshold: needs training.early_stopping_patience",
                "training.load_best_model_at_end=true training.eval_steps=50 data.eval=e training.save_strategy=epoch | training.load_best_model_at_end: needs a checkpoint at each evaluation",
                "training.load_best_model_at_end=true training.eval_steps=30 data.eval=e | training.load_best_model_at_end: needs training.save_steps (100) to be a multiple of training.eval_steps (30)",
                "training.paged_resident=1MiB training.optim=adamw_torch | training.paged_resident: is used only with a paged optimizer",
                "training.memory_budget=1GB training.gradient_checkpointing=false | training.memory_budget: is used only with",
                "model.max_memory={\"cpu\":1GB} | model.max_memory: is used only with model.device_map: auto",
                "model.device_map=disk model.max_memory={\"cpu\":1GB} | model.max_memory: is used only with",
                "model.offload_folder=o | model.offload_folder: is used only with model.device_map",
                "quantization.load_in_8bit=true quantization.llm_int8_enable_fp32_cpu_offload=true model.device_map=auto | quantization.llm_int8_enable_fp32_cpu_offload: needs model.device_map to be a map",
                "quantization.load_in_4bit=true quantization.use_exllama=true | quantization.load_in_4bit: quantizes on loading, and keys of GPTQ and AWQ (use_exllama) are about a base that is stored quantized",
                "quantization.load_in_8bit=true quantization.bits=4 | quantization.load_in_8bit: quantizes on loading, and keys of GPTQ and AWQ (bits)",
                "data.template=alpaca data.format=text | data.template: is used only with data.format: alpaca",
                "training.predict_with_generate=true data.eval=e data.format=text | training.predict_with_generate: needs data.eval",
            })
    void whatContradictsItself_isRefused(String sets, String expected) {
        assertThat(ConfigFileTest.problems(ConfigFileTest.LEAST, sets.split(" ")))
                .singleElement()
                .asString()
                .contains(expected);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "lora.layers_pattern=h lora.layers_to_transform=0",
                "lora.layers_to_transform=0 lora.target_modules=null",
                "data.eval_fraction=0.1",
                "training.warmup_steps=1",
                "training.warmup_steps=0.999",
                "training.lr_scheduler_type=polynomial training.learning_rate=0.5 training.lr_scheduler_kwargs.lr_end=0.49",
                "training.lr_scheduler_type=constant_with_warmup training.warmup_ratio=0.1",
                "training.max_steps=1",
                "training.eval_strategy=epoch data.eval_fraction=0.1",
                "training.eval_strategy=no training.eval_steps=5",
                "training.eval_steps=5 data.eval_fraction=0.1 training.early_stopping_patience=1 training.early_stopping_threshold=0.1",
                "training.load_best_model_at_end=true training.eval_steps=50 data.eval=e",
                "training.load_best_model_at_end=true training.eval_strategy=epoch training.save_strategy=epoch data.eval=e",
                "training.paged_resident=1MiB training.optim=paged_adamw_8bit",
                "training.paged_resident=64MiB training.optim=adamw_torch",
                "training.memory_budget=1GB training.gradient_checkpointing=auto",
                "model.device_map=auto model.max_memory={\"cpu\":1GB,\"0\":2GiB} model.offload_folder=o",
                "quantization.load_in_8bit=true quantization.llm_int8_enable_fp32_cpu_offload=true model.device_map={\"\":cpu,\"lm_head\":disk}",
                "quantization.bits=4 quantization.use_exllama=true",
                "data.template=human_assistant data.format=text",
                "data.template=alpaca",
            })
    void whatGoesTogether_isTaken(String sets) {
        assertThat(ConfigFile.parse(ConfigFileTest.LEAST, "f.yaml", List.of(sets.split(" "))))
                .isNotNull();
    }
}
