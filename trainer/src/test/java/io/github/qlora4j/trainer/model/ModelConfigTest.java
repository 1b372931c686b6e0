package io.github.qlora4j.trainer.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.github.qlora4j.peft.ModuleInfo;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.torch.Dtype;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** What config.json may say, key by key; scripts/golden/models.py made the files that transformers wrote. */
class ModelConfigTest {

    private static final Path GOLDEN = Path.of("src/test/resources/golden/models");

    /** What every file must say, in a shape that nothing divides by chance. */
    private static final String LEAST = """
            {"model_type": "llama", "vocab_size": 96, "hidden_size": 48, "intermediate_size": 80,
             "num_hidden_layers": 3, "num_attention_heads": 6}""";

    @TempDir
    private Path dir;

    /** The file that says the least, with the keys of {@code entries} besides or instead; a null takes a key out. */
    private Path file(String entries) throws IOException {
        JsonObject json = JsonParser.parseString(LEAST).getAsJsonObject();
        for (var entry :
                JsonParser.parseString("{" + entries + "}").getAsJsonObject().entrySet()) {
            json.add(entry.getKey(), entry.getValue());
        }
        return Files.writeString(dir.resolve("config.json"), json.toString());
    }

    private ModelConfig read(String entries) throws IOException {
        return ModelConfig.readFile(file(entries));
    }

    static Stream<Path> goldenModels() throws IOException {
        try (Stream<Path> list = Files.list(GOLDEN)) {
            return list.filter(d -> Files.exists(d.resolve("config-published.json"))).sorted().toList().stream();
        }
    }

    @ParameterizedTest
    @MethodSource("goldenModels")
    void bothSpellingsOfAModelSayTheSame(Path model) throws IOException {
        ModelConfig theirs = ModelConfig.read(model);
        ModelConfig published = ModelConfig.readFile(model.resolve("config-published.json"));
        assertThat(withoutJson(published)).isEqualTo(withoutJson(theirs));
        JsonElement whole = JsonParser.parseString(Files.readString(model.resolve("config.json")));
        assertThat(theirs.json()).isEqualTo(whole);
    }

    private static String withoutJson(ModelConfig c) {
        return c.toString().replaceFirst(", json=.*", "");
    }

    @Test
    void whatAFileLeavesOutIsLlamasDefault() throws IOException {
        ModelConfig c = read("");
        assertThat(c.modelType()).isEqualTo("llama");
        assertThat(c.numKeyValueHeads()).isEqualTo(6);
        assertThat(c.headDim()).isEqualTo(8);
        assertThat(c.maxPositionEmbeddings()).isEqualTo(2048);
        assertThat(c.rmsNormEps()).isEqualTo(1e-6);
        assertThat(c.attentionBias()).isFalse();
        assertThat(c.mlpBias()).isFalse();
        assertThat(c.tieWordEmbeddings()).isFalse();
        assertThat(c.ropeTheta()).isEqualTo(10000);
        assertThat(c.ropeScaling()).isEqualTo(new RopeScaling.None());
        assertThat(c.slidingWindows()).containsExactly(0, 0, 0);
        assertThat(c.dtype()).isEmpty();
        assertThat(c.quantization()).isEmpty();
    }

    @Test
    void whatAFileSaysIsTaken() throws IOException {
        ModelConfig c = read("""
                "num_key_value_heads": 2, "head_dim": 10, "max_position_embeddings": 7, "rms_norm_eps": 1e-5,
                "attention_bias": true, "mlp_bias": true, "tie_word_embeddings": true, "rope_theta": 500000,
                "torch_dtype": "float16", "quantization_config": {"a": 1}, "hidden_act": "silu\"""");
        assertThat(c.vocabSize()).isEqualTo(96);
        assertThat(c.hiddenSize()).isEqualTo(48);
        assertThat(c.intermediateSize()).isEqualTo(80);
        assertThat(c.numHiddenLayers()).isEqualTo(3);
        assertThat(c.numAttentionHeads()).isEqualTo(6);
        assertThat(c.numKeyValueHeads()).isEqualTo(2);
        assertThat(c.headDim()).isEqualTo(10);
        assertThat(c.maxPositionEmbeddings()).isEqualTo(7);
        assertThat(c.rmsNormEps()).isEqualTo(1e-5);
        assertThat(c.attentionBias()).isTrue();
        assertThat(c.mlpBias()).isTrue();
        assertThat(c.tieWordEmbeddings()).isTrue();
        assertThat(c.ropeTheta()).isEqualTo(500000);
        assertThat(c.dtype()).contains(Dtype.FLOAT16);
        assertThat(c.quantization().orElseThrow()).hasToString("{\"a\":1}");
        // transformers 5's spelling goes before the older one
        assertThat(read("\"torch_dtype\": \"float16\", \"dtype\": \"bfloat16\"").dtype())
                .contains(Dtype.BFLOAT16);
        assertThat(read("\"rope_theta\": 5, \"rope_parameters\": {\"rope_theta\": 7}")
                        .ropeTheta())
                .isEqualTo(7);
        assertThat(read("\"rope_theta\": 5, \"rope_parameters\": {}").ropeTheta())
                .isEqualTo(5);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '^',
            value = {
                "\"model_type\": null | model_type is missing",
                "\"model_type\": \"t5\" | model_type: expected one of llama, mistral, qwen2, got \"t5\"",
                "\"model_type\": 1 | model_type: expected a string, got 1",
                "\"vocab_size\": null | vocab_size is missing",
                "\"vocab_size\": 0 | vocab_size: expected a whole number from 1 to 4194304, got 0",
                "\"vocab_size\": 1.5 | vocab_size: expected a whole number from 1 to 4194304, got 1.5",
                "\"vocab_size\": 4294967296 | vocab_size: expected a whole number from 1 to 4194304, got 4294967296",
                "\"vocab_size\": \"96\" | vocab_size: expected a whole number from 1 to 4194304, got \"96\"",
                "\"vocab_size\": \"many\" | vocab_size: expected a whole number from 1 to 4194304, got \"many\"",
                "\"vocab_size\": [1] | vocab_size: expected a whole number from 1 to 4194304, got [1]",
                "\"num_key_value_heads\": 4 | num_key_value_heads: expected a divisor of num_attention_heads, 6, got 4",
                "\"num_attention_heads\": 5 | num_attention_heads: expected a divisor of hidden_size, 48, got 5",
                "\"head_dim\": 7 | head_dim: expected an even number, got 7",
                "\"head_dim\": 1 | head_dim: expected an even number, got 1",
                "\"hidden_act\": \"gelu\" | hidden_act: expected silu, the only one supported, got \"gelu\"",
                "\"rms_norm_eps\": 0 | rms_norm_eps: expected a number above 0, got 0",
                "\"rms_norm_eps\": \"x\" | rms_norm_eps: expected a finite number, got \"x\"",
                "\"rms_norm_eps\": 1e999 | rms_norm_eps: expected a finite number, got 1e999",
                "\"tie_word_embeddings\": 1 | tie_word_embeddings: expected true or false, got 1",
                "\"tie_word_embeddings\": {} | tie_word_embeddings: expected true or false, got {}",
                "\"torch_dtype\": \"int8\" | torch_dtype: expected float32, float16 or bfloat16, got \"int8\"",
                "\"torch_dtype\": \"float64\" | torch_dtype: expected float32, float16 or bfloat16, got \"float64\"",
                "\"dtype\": \"half\" | dtype: expected float32, float16 or bfloat16, got \"half\"",
                "\"rope_parameters\": 3 | rope_parameters: expected an object, got 3",
                "\"rope_parameters\": {\"rope_theta\": 0} | rope_parameters.rope_theta: expected a number above 0, got 0",
                "\"rope_theta\": -1 | rope_theta: expected a number above 0, got -1",
                "\"layer_types\": [\"full_attention\"] | layer_types: expected 3 entries, one a layer",
                "\"layer_types\": [1, 2, 3] | layer_types: expected a list of strings, got [1,2,3]",
                "\"layer_types\": [[], [], []] | layer_types: expected a list of strings, got [[],[],[]]",
                "\"layer_types\": {} | layer_types: expected a list of strings, got {}",
                "\"layer_types\": [\"a\", \"a\", \"a\"] | layer_types: expected full_attention in every layer of a llama, got [\"a\",\"a\",\"a\"]",
            })
    void whatCannotBeIsRefusedByFileAndKey(String entries, String message) throws IOException {
        Path file = file(entries);
        assertThatThrownBy(() -> ModelConfig.readFile(file))
                .isInstanceOf(QloraException.class)
                .hasMessageStartingWith(file + ": " + message);
    }

    @Test
    void theLeastThatIsAllowedIsTaken() throws IOException {
        assertThat(read("\"head_dim\": 2, \"vocab_size\": 1").headDim()).isEqualTo(2);
        assertThat(read("\"vocab_size\": 1").vocabSize()).isEqualTo(1);
        // a head's own size frees the number of heads from hidden_size
        assertThat(read("\"num_attention_heads\": 5, \"head_dim\": 4").numAttentionHeads())
                .isEqualTo(5);
    }

    @Test
    void longValuesAreShortenedInErrors() throws IOException {
        Path exact = file("\"hidden_act\": \"" + "x".repeat(78) + "\"");
        assertThatThrownBy(() -> ModelConfig.readFile(exact)).hasMessageEndingWith("got \"" + "x".repeat(78) + "\"");
        Path longer = file("\"hidden_act\": \"" + "x".repeat(79) + "\"");
        assertThatThrownBy(() -> ModelConfig.readFile(longer)).hasMessageEndingWith("got \"" + "x".repeat(79) + "…");
    }

    @Test
    void aModelThatIsAFileOrNotThereIsToldAsSuch_withTheNearestName() throws IOException {
        Files.createDirectory(dir.resolve("llama"));
        Path file = Files.writeString(dir.resolve("lama.json"), "{}");
        assertThatThrownBy(() -> ModelConfig.read(file))
                .isInstanceOf(QloraException.class)
                .hasMessageStartingWith(file + ": this is a file; name the model's directory");
        assertThatThrownBy(() -> ModelConfig.read(dir.resolve("lama")))
                .isInstanceOf(QloraException.class)
                .hasMessageStartingWith(
                        dir.resolve("lama") + ": there is no such model directory; did you mean llama? (looked in");
        assertThatThrownBy(() -> ModelConfig.read(dir.resolve("nowhere").resolve("lama")))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("there is no such model directory (looked in");
    }

    @Test
    void aFileThatIsNoConfigIsRefused() throws IOException {
        Path file = dir.resolve("config.json");
        assertThatThrownBy(() -> ModelConfig.read(dir))
                .isInstanceOf(QloraException.class)
                .hasMessageStartingWith(file + ": not found; a model directory holds config.json");
        Files.writeString(file, "[1]");
        assertThatThrownBy(() -> ModelConfig.read(dir))
                .hasMessage(file + ": a JSON object was expected, found an array");
        Files.writeString(file, "{\"a\": ");
        assertThatThrownBy(() -> ModelConfig.read(dir))
                .hasMessageStartingWith(file + ": not valid JSON: ")
                .hasMessageNotContaining("nested");
        Files.write(file, new byte[] {'{', '"', (byte) 0xff, '"', '}'});
        assertThatThrownBy(() -> ModelConfig.read(dir))
                .hasMessageStartingWith(file + ": not valid JSON: it is not UTF-8 text");
        try (RandomAccessFile hole = new RandomAccessFile(file.toFile(), "rw")) {
            hole.setLength((16L << 20) + 1);
        }
        assertThatThrownBy(() -> ModelConfig.read(dir))
                .hasMessage(file + ": 16777217 bytes; a config.json is at most 16 MB");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '^',
            value = {
                "\"model_type\": \"llama\", \"sliding_window\": 9 | 0 0 0",
                "\"model_type\": \"mistral\" | 4096 4096 4096",
                "\"model_type\": \"mistral\", \"sliding_window\": null | 0 0 0",
                "\"model_type\": \"mistral\", \"sliding_window\": 9 | 9 9 9",
                "\"model_type\": \"qwen2\", \"sliding_window\": 9 | 0 0 0",
                "\"model_type\": \"qwen2\", \"sliding_window\": 9, \"use_sliding_window\": true | 0 0 0",
                "\"model_type\": \"qwen2\", \"use_sliding_window\": true, \"max_window_layers\": 0 | 4096 4096 4096",
                "\"model_type\": \"qwen2\", \"sliding_window\": 9, \"use_sliding_window\": true, \"max_window_layers\": 2 | 0 0 9",
                "\"model_type\": \"qwen2\", \"sliding_window\": 9, \"use_sliding_window\": true, \"layer_types\": [\"full_attention\", \"sliding_attention\", \"full_attention\"] | 0 9 0",
            })
    void windowsAreThoseOfEachFamily(String entries, String windows) throws IOException {
        assertThat(read(entries + ", \"num_key_value_heads\": 6").slidingWindows())
                .isEqualTo(Stream.of(windows.split(" ")).map(Integer::valueOf).toList());
    }

    @Test
    void biasesAreThoseOfEachFamily() throws IOException {
        String all = "\"attention_bias\": true, \"mlp_bias\": true, \"model_type\": ";
        assertThat(biased(all + "\"llama\"")).containsExactly("q", "k", "v", "o", "gate", "up", "down");
        assertThat(biased("\"attention_bias\": true")).containsExactly("q", "k", "v", "o");
        assertThat(biased("\"mlp_bias\": true")).containsExactly("gate", "up", "down");
        assertThat(biased(all + "\"mistral\"")).isEmpty();
        assertThat(biased("\"model_type\": \"qwen2\"")).containsExactly("q", "k", "v");
        assertThat(read("\"model_type\": \"qwen2\", \"num_key_value_heads\": 6").maxPositionEmbeddings())
                .isEqualTo(32768);
        assertThat(read("\"model_type\": \"mistral\", \"num_key_value_heads\": 6")
                        .maxPositionEmbeddings())
                .isEqualTo(131072);
    }

    private List<String> biased(String entries) throws IOException {
        ModelConfig c = read(entries + ", \"num_key_value_heads\": 6");
        return c.family().linears(c).stream()
                .filter(Family.Linear::bias)
                .map(l -> l.name().replaceAll(".*\\.|_proj", ""))
                .toList();
    }

    @Test
    void modulesHaveTheShapesOfTheirWeights() throws IOException {
        ModelConfig c = read("\"num_key_value_heads\": 2, \"head_dim\": 10");
        List<ModuleInfo> modules = Modules.of(c);
        assertThat(modules).hasSize(1 + 3 * 9 + 2);
        assertThat(modules.get(0)).isEqualTo(ModuleInfo.other("model.embed_tokens", 96, 48));
        assertThat(modules.subList(10, 19))
                .containsExactly(
                        ModuleInfo.linear("model.layers.1.self_attn.q_proj", 60, 48),
                        ModuleInfo.linear("model.layers.1.self_attn.k_proj", 20, 48),
                        ModuleInfo.linear("model.layers.1.self_attn.v_proj", 20, 48),
                        ModuleInfo.linear("model.layers.1.self_attn.o_proj", 48, 60),
                        ModuleInfo.linear("model.layers.1.mlp.gate_proj", 80, 48),
                        ModuleInfo.linear("model.layers.1.mlp.up_proj", 80, 48),
                        ModuleInfo.linear("model.layers.1.mlp.down_proj", 48, 80),
                        ModuleInfo.other("model.layers.1.input_layernorm", 48, 1),
                        ModuleInfo.other("model.layers.1.post_attention_layernorm", 48, 1));
        assertThat(modules.subList(28, 30))
                .containsExactly(ModuleInfo.other("model.norm", 48, 1), ModuleInfo.outputHead("lm_head", 96, 48));
    }

    @Test
    void parametersCountEveryWeightAndBias() throws IOException {
        long block = 4 * 48 * 48 + 3 * 48 * 80 + 2 * 48;
        assertThat(Modules.parameters(read(""))).isEqualTo(2 * 96 * 48 + 3 * block + 48);
        assertThat(Modules.parameters(read("\"tie_word_embeddings\": true"))).isEqualTo(96 * 48 + 3 * block + 48);
        assertThat(Modules.parameters(read("\"attention_bias\": true, \"mlp_bias\": true")))
                .isEqualTo(2 * 96 * 48 + 3 * (block + 4 * 48 + 2 * 80 + 48) + 48);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '^',
            value = {
                "{} | None[]",
                "{\"rope_type\": \"default\"} | None[]",
                "{\"type\": \"linear\", \"factor\": 4} | Linear[factor=4.0]",
                "{\"rope_type\": \"linear\", \"type\": \"dynamic\", \"factor\": 1} | Linear[factor=1.0]",
                "{\"rope_type\": \"dynamic\", \"factor\": 2.5} | Dynamic[factor=2.5]",
                "{\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1, \"high_freq_factor\": 4, \"original_max_position_embeddings\": 8192} | Llama3[factor=8.0, lowFreqFactor=1.0, highFreqFactor=4.0, originalMaxPositionEmbeddings=8192]",
            })
    void frequenciesAreStretchedAsTheFileSays(String rope, String expected) throws IOException {
        assertThat(read("\"rope_scaling\": " + rope).ropeScaling()).hasToString(expected);
        assertThat(read("\"rope_parameters\": " + rope).ropeScaling()).hasToString(expected);
    }

    /** The attention factors are those of transformers 5.23's {@code _compute_yarn_parameters}. */
    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '^',
            value = {
                "\"factor\": 4 | 4 | 1.138629436111989 | 32 | 1 | 2048 | true",
                "\"factor\": 1 | 1 | 1 | 32 | 1 | 2048 | true",
                "\"original_max_position_embeddings\": 512 | 4 | 1.138629436111989 | 32 | 1 | 512 | true",
                "\"factor\": 2, \"original_max_position_embeddings\": 512 | 2 | 1.0693147180559945 | 32 | 1 | 512 | true",
                "\"factor\": 4, \"attention_factor\": 0.5, \"beta_fast\": 16, \"beta_slow\": 2, \"truncate\": false | 4 | 0.5 | 16 | 2 | 2048 | false",
                "\"factor\": 40, \"mscale\": 0.707, \"mscale_all_dim\": 1.5 | 40 | 0.8116769910542814 | 32 | 1 | 2048 | true",
                "\"factor\": 40, \"mscale\": 0.707 | 40 | 1.3688879454113936 | 32 | 1 | 2048 | true",
                "\"factor\": 40, \"mscale_all_dim\": 0.707 | 40 | 1.3688879454113936 | 32 | 1 | 2048 | true",
            })
    void yarnsFactorsAreThoseOfTransformers(
            String keys, double factor, double attention, double fast, double slow, int original, boolean truncate)
            throws IOException {
        RopeScaling.Yarn yarn = (RopeScaling.Yarn) read("\"rope_scaling\": {\"rope_type\": \"yarn\", " + keys + "}")
                .ropeScaling();
        assertThat(yarn.factor()).isEqualTo(factor);
        // one logarithm apart at most: Java's and C's may differ in the last bit
        assertThat(yarn.attentionFactor()).isCloseTo(attention, within(4e-16));
        assertThat(yarn.betaFast()).isEqualTo(fast);
        assertThat(yarn.betaSlow()).isEqualTo(slow);
        assertThat(yarn.originalMaxPositionEmbeddings()).isEqualTo(original);
        assertThat(yarn.truncate()).isEqualTo(truncate);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '^',
            value = {
                "{\"type\": \"longrope\"} | type: expected default, linear, dynamic, llama3 or yarn, got \"longrope\"",
                "{\"rope_type\": \"su\"} | rope_type: expected default, linear, dynamic, llama3 or yarn, got \"su\"",
                "{\"type\": \"linear\"} | factor is missing",
                "{\"type\": \"linear\", \"factor\": 0.5} | factor: expected a number of at least 1, got 0.5",
                "{\"partial_rotary_factor\": 0.5} | partial_rotary_factor: expected 1.0",
                "{\"type\": \"llama3\", \"factor\": 8} | low_freq_factor is missing",
                "{\"type\": \"yarn\", \"factor\": 4, \"beta_fast\": 0} | beta_fast: expected a number above 0, got 0",
            })
    void aScalingThatIsNotKnownIsRefusedByItsKey(String rope, String message) throws IOException {
        Path file = file("\"rope_scaling\": " + rope);
        assertThatThrownBy(() -> ModelConfig.readFile(file))
                .isInstanceOf(QloraException.class)
                .hasMessageStartingWith(file + ": rope_scaling." + message);
    }
}
