package io.github.qlora4j.trainer.config;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;

class ResolvedYamlTest {

    /** A file in which nearly every key has a value that is not its default. */
    static final String FULL = """
            model: {path: models/llama, dtype: bfloat16, upcast: true}
            quantization:
              load_in_4bit: true
              bnb_4bit_quant_type: fp4
              bnb_4bit_use_double_quant: false
              bnb_4bit_compute_dtype: float32
              blocksize: 128
              kernel: builtin
              llm_int8_skip_modules: [lm_head, "true"]
            lora:
              r: 16
              lora_alpha: 32
              lora_dropout: 0.05
              target_modules: ".*\\\\.(q|v)_proj"
              init_lora_weights: gaussian
              use_rslora: true
              rank_pattern: {q_proj: 4, "^model\\\\..*v_proj": 2}
              alpha_pattern: {q_proj: 8}
              bias: lora_only
              modules_to_save: [lm_head]
              dtype: float32
              adapter: "123"
            data:
              train: ["a b.json", "tägliche/*.jsonl", "no"]
              eval: e.json
              fields: {instruction: question, input_ids: ids}
              template:
                prompt: "Q: {instruction}\\n\\tA: "
                prompt_with_input: "Q: {instruction} # {input}\\u00a0"
                history_turn: "{instruction}|{output}"
              add_bos: true
              max_length: 1024
              packing: true
              on_bad_row: skip
              cache_dir: /tmp/c
            training:
              output_dir: "null"
              num_train_epochs: 2.5
              max_steps: 1000
              learning_rate: 1e-5
              lr_scheduler_type: polynomial
              lr_scheduler_kwargs: {lr_end: 1e-6, power: 2}
              warmup_ratio: 0.03
              adam_epsilon: 1e-6
              optim: paged_adamw_8bit
              paged_resident: 1000001
              gradient_checkpointing: auto
              memory_budget: 1.5GiB
              logging_strategy: epoch
              eval_steps: 50
              save_steps: 100
              save_total_limit: null
              load_best_model_at_end: true
              metric_for_best_model: loss
              early_stopping_patience: 3
              early_stopping_threshold: 0.001
              data_seed: 7
              threads: 2
            """;

    @Test
    void reading_whatWasWritten_givesAnEqualConfiguration() {
        String auto =
                "model: {path: m, device_map: balanced_low_0, max_memory: {0: 1GB, cpu: 3GiB}, offload_folder: o}\n";
        String map = "model: {path: m, device_map: {'': disk, lm_head: 0}}\n";
        String disk = "model: {path: m, device_map: disk}\n";
        String data = "data: {train: a}\n";
        for (String text : List.of(
                auto + data,
                map + data,
                disk + data,
                FULL,
                ConfigFileTest.LEAST,
                ConfigFileTest.LEAST + "lora: {target_modules: null}")) {
            RunConfig config = ConfigFileTest.parse(text);
            String written = ResolvedYaml.write(config);
            assertThat(ConfigFileTest.parse(written)).as(written).isEqualTo(config);
            assertThat(ResolvedYaml.write(ConfigFileTest.parse(written))).isEqualTo(written);
        }
    }

    @Test
    void everyKey_isWrittenOut() {
        String written = ResolvedYaml.write(ConfigFileTest.parse(FULL));
        assertThat(Hints.allKeys())
                .hasSizeGreaterThan(70)
                .allSatisfy(key -> assertThat(written).contains("  " + key.substring(key.indexOf('.') + 1) + ":"));
    }

    @Test
    void onlyTextBeyondAscii_isQuoted() {
        String written =
                ResolvedYaml.write(ConfigFileTest.parse("model: {path: 'a b~'}\ndata: {train: [ä, \"x\\ty\"]}"));
        assertThat(written).contains("  path: a b~\n", "  train: [\"ä\", \"x\\ty\"]\n");
    }

    @Test
    void comments_standAtTheHead() {
        RunConfig config = ConfigFileTest.parse(FULL);
        String written = ResolvedYaml.write(config, List.of("qlora4j 0.1", "two\nlines: here"));
        assertThat(written).startsWith("# qlora4j 0.1\n# two\n# lines: here\nmodel:\n  path: models/llama\n");
        assertThat(ConfigFileTest.parse(written)).isEqualTo(config);
    }

    @Test
    void diff_namesTheKeysThatDiffer() {
        RunConfig a = ConfigFileTest.parse(ConfigFileTest.LEAST);
        RunConfig b = a.with("training.seed", 43)
                .with("lora.target_modules", TargetModules.names("q_proj"))
                .with("data.template", new TemplateChoice.Custom("{instruction}\n", null, null, "{output}"));
        assertThat(ResolvedYaml.diff(a, a)).isEmpty();
        assertThat(ResolvedYaml.diff(a, b))
                .extracting(Object::toString)
                .startsWith("lora.target_modules: [q_proj, v_proj] → [q_proj]")
                .endsWith("training.seed: 42 → 43")
                .hasSize(3);
        assertThat(ResolvedYaml.diff(a, a.with("quantization.load_in_4bit", true)))
                .extracting(ResolvedYaml.Difference::key)
                .contains("quantization", "quantization.blocksize");
    }
}
