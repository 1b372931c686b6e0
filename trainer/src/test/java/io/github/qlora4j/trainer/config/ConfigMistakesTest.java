package io.github.qlora4j.trainer.config;

import static io.github.qlora4j.trainer.config.ConfigFileTest.LEAST;
import static io.github.qlora4j.trainer.config.ConfigFileTest.problems;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What is wrong in a file is named, with its place. */
class ConfigMistakesTest {

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "device_map: gpu | model.device_map: expected auto, cpu, disk, or a map from a module's name to cpu, disk, or",
                "device_map: {} | got a map without a module",
                "device_map: {lm_head: ram} | model.device_map.lm_head: expected cpu, disk, or the number of a GPU; got \"ram\"",
                "device_map: {lm_head: -1} | got -1",
                "device_map: {a: cpu, a: disk} | given twice: \"a\"",
                "device_map: {? [a] : cpu, b: cpu} | model.device_map: expected the name of a module; got a list or a map",
                "device_map: auto, max_memory: {cpu: 1GB, 'cpu': 2GB} | model.max_memory: given twice: \"cpu\"",
                "device_map: auto, max_memory: 3GB | model.max_memory: expected a map from cpu or the number of a GPU to a size",
                "device_map: auto, max_memory: {cpu: lots} | model.max_memory.cpu: expected a size such as 6GB",
                "device_map: auto, max_memory: {ram: 1GB} | model.max_memory: expected cpu, disk, or the number of a GPU",
            })
    void placement_mistakesAreNamed(String keys, String expected) {
        assertThat(problems("model: {path: m, " + keys + "}\ndata: {train: a.json}\n"))
                .singleElement()
                .asString()
                .contains(expected)
                .startsWith("f.yaml:1:");
    }

    @Test
    void allProblems_areReportedAtOnceWithTheirPlaces() {
        assertThat(problems("""
                        model: {dtype: bf16}
                        lora:
                          r: 3.7
                          lora_droput: 0.1
                          learning_rate: 1e-4
                        data:
                          train: a.json
                          shuffle: yes
                          shuffle: true
                        training:
                          max_grad_norm: -1
                          optim: paged_adamw_32bits
                          batch_size: 4
                        trianing: {}
                        """))
                .containsExactly(
                        "f.yaml:1:8: model.path: missing; expected a path",
                        "f.yaml:1:16: model.dtype: expected one of auto, float32, bfloat16, float16; got \"bf16\"; did you mean bfloat16?",
                        "f.yaml:3:6: lora.r: expected a whole number of at least 1 and at most 65536; got 3.7",
                        "f.yaml:4:3: lora.lora_droput: unknown key; did you mean lora_dropout?",
                        "f.yaml:5:3: lora.learning_rate: unknown key here; it belongs under training",
                        "f.yaml:8:12: data.shuffle: expected true or false; got \"yes\"; write true",
                        "f.yaml:9:3: data.shuffle: given twice; the first stands at f.yaml:8:3",
                        "f.yaml:11:18: training.max_grad_norm: expected a number of at least 0; got -1",
                        "f.yaml:12:10: training.optim: expected one of adamw_torch, paged_adamw_32bit, adamw_8bit, paged_adamw_8bit; got \"paged_adamw_32bits\"; did you mean paged_adamw_32bit?",
                        "f.yaml:13:3: training.batch_size: unknown key; here it is called per_device_train_batch_size",
                        "f.yaml:14:1: trianing: unknown key; did you mean training?");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "lr: 1e-4 | lr: unknown key; here it is called training.learning_rate",
                "max_steps: 3 | max_steps: unknown key here; it belongs under training",
                "lora: {lora_r: 3} | lora.lora_r: unknown key; here it is called r",
                "lora: {loraAlpha: 3} | lora.loraAlpha: unknown key; did you mean lora_alpha?",
                "lora: {learning_rat: 3} | lora.learning_rat: unknown key; did you mean training.learning_rate?",
                "lora: {xyzzy: 3} | lora.xyzzy: unknown key; here stand r, lora_alpha",
                "lora: {use_dora: true} | lora.use_dora: unknown key; DoRA is not supported",
                "x: 3 | x: unknown key; here stand model, quantization",
                "lora: {a: 3} | lora.a: unknown key; here stand r, lora_alpha",
                "lora: {rr: 3} | lora.rr: unknown key; did you mean r?",
                "lora: *nope | this is not YAML: found undefined alias nope",
                "lora: 3 | lora: expected a map of r, lora_alpha",
                "lora: [3] | got a list",
                "lora: {r: } | lora.r: expected a whole number of at least 1 and at most 65536; got nothing; leave the key out",
                "lora: {r: '8'} | got \"8\"; write 8",
                "lora: {r: 1_000} | got \"1_000\"; write 1000",
                "lora: {r: 8.0} | got 8.0; write 8",
                "lora: {r: 99999999999999999999} | got 99999999999999999999",
                "lora: {lora_dropout: 1} | expected a number of at least 0 and below 1; got 1",
                "lora: {lora_dropout: .nan} | got .nan",
                "lora: {adapter: 3} | expected a path; got 3; write it in quotes",
                "lora: {adapter: ''} | got empty text",
                "lora: {dtype: float16} | expected one of bfloat16, float32; got \"float16\"",
                "lora: {target_modules: []} | got an empty list",
                "lora: {target_modules: all_linear} | did you mean all-linear?",
                "lora: {target_modules: '(q'} | not a regular expression",
                "lora: {target_modules: [q_proj, 3]} | expected text; got 3",
                "lora: {init_lora_weights: 'true'} | got \"true\"",
                "lora: {rank_pattern: 4} | lora.rank_pattern: expected a map from a name to a whole number of at least 1",
                "lora: {rank_pattern: {q_proj: 4, q_proj: 5}} | lora.rank_pattern: given twice: \"q_proj\"",
                "lora: {modules_to_save: {a: b}} | lora.modules_to_save: expected text, or a list of them; got a map",
                "lora: {rank_pattern: {q_proj: 0}} | lora.rank_pattern: expected a whole number of at least 1",
                "lora: {? [a] : 3} | expected the name of a key",
                "lora: {lora_dropout: '0.05'} | got \"0.05\"; write 0.05",
                "quantization: {version: gemv} | quantization.version: expected gemm; got \"gemv\"",
                "quantization: {blocksize: 48} | expected one of 32, 64, 128",
                "quantization: {load_in_4bit: true, load_in_8bit: true} | quantization.load_in_8bit: excludes quantization.load_in_4bit",
                "quantization: {load_in_8bit: true, blocksize: 128} | quantization.blocksize: is of load_in_4bit",
                "quantization: {load_in_8bit: true, bnb_4bit_quant_type: fp4} | quantization.bnb_4bit_quant_type: is of load_in_4bit",
                "quantization: {load_in_8bit: true, bnb_4bit_use_double_quant: false} | bnb_4bit_use_double_quant: is of load_in_4bit",
                "quantization: {load_in_8bit: true, bnb_4bit_compute_dtype: float32} | multiplied in model.dtype",
                "quantization: {llm_int8_threshold: 5} | quantization.llm_int8_threshold: needs quantization.load_in_8bit",
                "quantization: {load_in_8bit: true, llm_int8_threshold: -1} | llm_int8_threshold: expected a number of at least 0",
                "training: {memory_budget: 6 gallons} | expected a size such as 6GB",
                "training: {memory_budget: 0GB} | expected a size such as 6GB",
                "quantization: {llm_int8_enable_fp32_cpu_offload: 1} | got 1; write true",
                "training: {save_strategy: false} | did you mean no?",
                "training: {learning_rate: 1.0.0} | expected a number of at least 0; got \"1.0.0\"",
                "training: {learning_rate: !!python/name:os.system x} | expected a number",
            })
    void oneMistake_isNamed(String line, String expected) {
        assertThat(problems(LEAST + line))
                .singleElement()
                .asString()
                .contains(expected)
                .startsWith("f.yaml:3:");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "model.path",
                "model.offload_folder",
                "lora.adapter",
                "data.cache_dir",
                "training.output_dir",
            })
    void pathThatNoFileCanHave_isNamedInALine(String key) {
        for (String path : List.of("(".repeat(50_002), "models/" + "x".repeat(256), "a/".repeat(40_000))) {
            assertThat(problems(LEAST, key + "=" + path))
                    .singleElement()
                    .satisfies(problem -> assertThat(problem)
                            .contains(": " + key + ": not a path: ", " has at most ", "; got ")
                            .hasSizeLessThan(300));
        }
    }

    @Test
    void modelPathThatNoFileCanHave_hasItsLine() {
        assertThat(problems("data: {train: a.json}\nmodel:\n  path: " + "(".repeat(50_002)))
                .singleElement()
                .asString()
                .startsWith("f.yaml:3:9: model.path: not a path: a path has at most ")
                .hasSizeLessThan(300);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "{prompt: 'x'} | data.template.prompt: expected text that holds {instruction}",
                "{prompt: '{instruction} {inputs}'} | unknown placeholder {inputs}; here stand {instruction}, {input}, {history}; did you mean input?",
                "{answer: '{output}'} | data.template.prompt: missing",
                "{prompt: '{instruction} {history}'} | data.template.history_turn: missing",
                "{prompt: {instruction}} | write it in quotes if it begins with {",
                "{prompt: '{{instruction}}'} | data.template.prompt: expected text that holds {instruction}",
                "{prompt: '{instruction}', prompt_with_input: '{instruction}'} | data.template.prompt_with_input: expected text that holds {input}",
                "{prompt: '{instruction}', prompt_with_input: '{input}'} | data.template.prompt_with_input: expected text that holds {instruction}",
                "{prompt: '{instruction}', prompt_with_input: '{instruction} {input} {history}'} | data.template.history_turn: missing",
                "{prompt: '{instruction}', history_turn: '{instruction}'} | data.template.history_turn: expected text that holds {output}",
                "{prompt: '{instruction}', history_turn: '{output}'} | data.template.history_turn: expected text that holds {instruction}",
                "{prompt: '{instruction}', history_turn: '{instruction} {output} {input}'} | data.template.history_turn: unknown placeholder {input}; here stand {instruction}, {output}",
                "{prompt: '{instruction}', answer: '{instruction}{output}'} | data.template.answer: unknown placeholder {instruction}; here stand {output}",
                "{prompt: '{instruction}', answer: 'yes'} | data.template.answer: expected text that holds {output}",
                "human_asistant | did you mean human_assistant?",
                "null | expected one of human_assistant, alpaca, or a map",
            })
    void mistakeInATemplate_isNamed(String template, String expected) {
        assertThat(problems("model: {path: m}\ndata: {train: a, template: " + template + "}"))
                .anySatisfy(p -> assertThat(p).contains(expected).startsWith("f.yaml:2:"));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "max_steps: 0 | training.max_steps: expected -1",
                "warmup_steps: 1.5 | training.warmup_steps: expected a whole number of steps",
                "warmup_steps: 2, warmup_ratio: 0.1 | training.warmup_ratio: excludes training.warmup_steps",
                "warmup_steps: 2, lr_scheduler_type: constant | use constant_with_warmup",
                "eval_steps: 5 | training.eval_steps: needs rows to evaluate on",
                "eval_strategy: epoch | training.eval_strategy: needs rows to evaluate on",
                "early_stopping_patience: 2 | training.early_stopping_patience: needs evaluation",
                "load_best_model_at_end: true | training.load_best_model_at_end: needs evaluation",
                "memory_budget: 1GB | is used only with training.gradient_checkpointing: auto",
                "lr_scheduler_kwargs: {power: 2} | is used only with training.lr_scheduler_type: polynomial",
            })
    void rulesBetweenKeys_nameTheKey(String keys, String expected) {
        assertThat(problems(LEAST + "training: {" + keys + "}"))
                .singleElement()
                .asString()
                .contains(expected)
                .startsWith("f.yaml:3:");
    }

    @Test
    void rulesAboutAKeyThatIsWrong_areNotReported() {
        assertThat(problems(LEAST + "training: {eval_steps: 5, eval_strategy: often}"))
                .singleElement()
                .asString()
                .contains("training.eval_strategy");
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "  \n", "# nothing\n", "---\n", "null"})
    void emptyFile_saysWhatIsExpected(String text) {
        assertThat(problems(text)).containsExactly("f.yaml: empty; expected at least model.path and data.train");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "just text | f.yaml:1:1: expected a map of model, quantization, lora, data, training; got \"just text\"",
                "[1, 2] | f.yaml:1:1: expected a map",
                "model: {path: m | f.yaml:1:",
                "a: b: c | f.yaml:1:5: this is not YAML",
                "a: &x [*x] | f.yaml:",
                "a: *nowhere | f.yaml:1:",
            })
    void whatIsNoMap_isNamedWithItsPlace(String text, String expected) {
        assertThat(problems(text).get(0)).startsWith(expected);
    }

    @Test
    void requiredKeyWithoutAValue_isNotAdvisedToBeLeftOut() {
        assertThat(problems("model: {path: }\ndata: {train: null}"))
                .containsExactly(
                        "f.yaml:1:14: model.path: expected a path; got nothing",
                        "f.yaml:2:15: data.train: expected text, or a list of them; got null");
    }

    @Test
    void generatedPredictions_needAnEvalFileOfInstructions() {
        String on = "training: {predict_with_generate: true}";
        String wrong = "f.yaml:3:35: training.predict_with_generate: needs data.eval, and data.format alpaca";
        assertThat(problems(LEAST + on)).containsExactly(wrong);
        assertThat(problems(LEAST + on, "data.eval=e.json", "data.format=text")).containsExactly(wrong);
        assertThat(ConfigFile.parse(LEAST + on, "f.yaml", List.of("data.eval=e.json"))
                        .config()
                        .training()
                        .generationMaxNewTokens())
                .isEqualTo(64);
    }

    @Test
    void tabs_areExplained() {
        assertThat(problems("model:\n\tpath: m\n"))
                .singleElement()
                .asString()
                .startsWith("f.yaml:2:1: this is not YAML")
                .contains("this line has a tab");
    }

    @Test
    void twoDocuments_areRefused() {
        assertThat(problems(LEAST + "---\n" + LEAST))
                .singleElement()
                .asString()
                .startsWith("f.yaml:3:1: this is not YAML");
    }

    @Test
    void aliasBombsAndDeepNesting_areRefused() {
        StringBuilder bomb = new StringBuilder("a0: &a0 [x]\n");
        for (int i = 1; i < 40; i++) {
            bomb.append("a")
                    .append(i)
                    .append(": &a")
                    .append(i)
                    .append(" [")
                    .append(("*a" + (i - 1) + ",").repeat(9))
                    .append("]\n");
        }
        assertThat(problems(bomb.toString()))
                .containsExactly("f.yaml: more than 50 aliases (*name) of lists and maps; write the values out");
        assertThat(problems("a: " + "[".repeat(300_000))).isNotEmpty();
        assertThat(problems("a: " + "[".repeat(200_000) + "]".repeat(200_000))).isNotEmpty();
    }

    @Test
    void keysOfASectionThatIsNone_areNotMissed() {
        assertThat(problems("model: 3\ndata: {train: a}"))
                .singleElement()
                .asString()
                .startsWith("f.yaml:1:8: model: expected a map of path, ");
    }

    @Test
    void valuesOnTheCommandLine_thatAreNoYaml_areNamedWithTheirOption() {
        assertThat(problems(LEAST, "data.train=a: b: c"))
                .singleElement()
                .asString()
                .startsWith("--set data.train=a: b: c: data.train: this is not YAML")
                .endsWith("; put quotes around the value if it is text");
        assertThat(problems(LEAST, "data.train=a\0"))
                .singleElement()
                .asString()
                .startsWith("--set data.train=a\\u0000: data.train: ")
                .contains("U+0000");
    }

    @Test
    void unreadableFiles_areNamed(@TempDir Path dir) throws IOException {
        assertThat(fileProblem(dir.resolve("none.yaml"))).contains("none.yaml: there is no such file");
        assertThat(fileProblem(dir)).contains("this is a directory");
        assertThat(fileProblem(Path.of(""))).startsWith("\"\": this is a directory");
        assertThat(fileProblem(dir.resolve("a\nb"))).contains("a\\nb: there is no such file");
        Path latin = Files.write(
                dir.resolve("latin.yaml"), "model: {path: caf\u00e9}".getBytes(StandardCharsets.ISO_8859_1));
        assertThat(fileProblem(latin)).contains("latin.yaml:1:18: not UTF-8: the byte 0xE9");
        Path second = Files.write(
                dir.resolve("second.yaml"), "model:\n  path: caf\u00e9".getBytes(StandardCharsets.ISO_8859_1));
        assertThat(fileProblem(second)).contains("second.yaml:2:12: not UTF-8");
        Path big = Files.write(dir.resolve("big.yaml"), new byte[(1 << 20) + 1]);
        assertThat(fileProblem(big)).contains("larger than 1 MiB");
        Path nul = Files.write(dir.resolve("nul.yaml"), "model:\n  path: \0".getBytes(StandardCharsets.UTF_8));
        assertThat(fileProblem(nul)).contains("nul.yaml:2:9: ").contains("U+0000");
    }

    private static String fileProblem(Path file) {
        return catchThrowableOfType(ConfigException.class, () -> ConfigFile.load(file, List.of()))
                .getMessage();
    }
}
