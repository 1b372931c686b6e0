package io.github.qlora4j.peft;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.safetensors.SafetensorsFile;
import io.github.qlora4j.quant.safetensors.SafetensorsWriter;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class AdapterTest {

    private static final List<ModuleInfo> MODULES = List.of(
            ModuleInfo.other("model.embed_tokens", 10, 8),
            ModuleInfo.linear("model.layers.0.self_attn.q_proj", 6, 8),
            ModuleInfo.linear("model.layers.0.self_attn.v_proj", 4, 8),
            ModuleInfo.outputHead("lm_head", 10, 8));

    @TempDir
    Path dir;

    private NDManager manager;

    @BeforeEach
    void open() {
        manager = Torch.newManager();
    }

    @AfterEach
    void close() {
        manager.close();
    }

    private Adapter create(LoraConfig config, Dtype dtype, long seed) {
        return Adapter.create(manager, config, TargetModules.resolve(config, MODULES, "llama"), dtype, seed);
    }

    private static LoraConfig.Builder queryAndValue() {
        return LoraConfig.builder().optR(2).optTargetModules("q_proj", "v_proj");
    }

    @Test
    void startsWithoutEffectAndWithinTheBound() {
        Adapter adapter = create(queryAndValue().build(), Dtype.FLOAT32, 42);
        LoraWeights q = adapter.get("model.layers.0.self_attn.q_proj");
        assertThat(Torch.shape(q.a())).containsExactly(2, 8);
        assertThat(Torch.shape(q.b())).containsExactly(6, 2);
        assertThat(Torch.toFloats(q.b())).containsOnly(0f);
        float bound = (float) (1 / Math.sqrt(8));
        for (float value : Torch.toFloats(q.a())) {
            assertThat(value).isBetween(-bound, bound);
        }
        assertThat(adapter.parameterCount()).isEqualTo(2 * (6 + 8) + 2 * (4 + 8));
    }

    @Test
    void drawsEachModuleFromSeedAndNameAlone() {
        Adapter both = create(queryAndValue().build(), Dtype.FLOAT32, 7);
        Adapter one = create(queryAndValue().optTargetModules("v_proj").build(), Dtype.FLOAT32, 7);
        Adapter other = create(queryAndValue().build(), Dtype.FLOAT32, 8);
        String v = "model.layers.0.self_attn.v_proj";
        assertThat(Torch.toFloats(one.get(v).a()))
                .containsExactly(Torch.toFloats(both.get(v).a()));
        assertThat(Torch.toFloats(other.get(v).a()))
                .isNotEqualTo(Torch.toFloats(both.get(v).a()));
        // the first values of seed 7, written down: they must not change from one version to the next
        assertThat(Torch.toFloats(both.get(v).a())).startsWith(FIRST_OF_SEED_7);
    }

    private static final float[] FIRST_OF_SEED_7 = {0.14931786f, -0.075959116f, -0.027598472f, -0.24522074f};

    @Test
    void castsTheFloat32DrawToBfloat16() {
        Adapter wide = create(queryAndValue().build(), Dtype.FLOAT32, 7);
        Adapter narrow = create(queryAndValue().build(), Dtype.BFLOAT16, 7);
        String v = "model.layers.0.self_attn.v_proj";
        NDArray cast = Torch.cast(manager, wide.get(v).a(), Dtype.BFLOAT16);
        assertThat(Torch.dtype(narrow.get(v).a())).isEqualTo(Dtype.BFLOAT16);
        assertThat(Torch.toFloats(narrow.get(v).a())).containsExactly(Torch.toFloats(cast));
    }

    @Test
    void gaussianHasTheDeviationOfOneOverRank() {
        LoraConfig config = queryAndValue()
                .optR(4)
                .optInitLoraWeights(InitLoraWeights.GAUSSIAN)
                .build();
        List<Target> targets = List.of(new Target(ModuleInfo.linear("m", 10, 50_000), 4, 8, 2));
        float[] a = Torch.toFloats(Adapter.create(manager, config, targets, Dtype.FLOAT32, 1)
                .get("m")
                .a());
        double sum = 0;
        double squares = 0;
        for (float value : a) {
            sum += value;
            squares += (double) value * value;
        }
        // 200,000 draws: the mean's deviation is 0.25/447, the deviation's own about 0.25/632; five of them
        assertThat(sum / a.length).isBetween(-0.003, 0.003);
        assertThat(Math.sqrt(squares / a.length)).isBetween(0.248, 0.252);
    }

    @ParameterizedTest
    @EnumSource(
            value = Dtype.class,
            names = {"BFLOAT16", "FLOAT32"})
    void loadsWhatItSaved(Dtype dtype) {
        LoraConfig config = queryAndValue()
                .optUseRslora(true)
                .optRankPattern(Map.of("v_proj", 3))
                .optModulesToSave(List.of("lm_head"))
                .optInitLoraWeights(InitLoraWeights.RANDOM)
                .build();
        Adapter adapter = create(config, dtype, 3);
        adapter.addWhole("lm_head.weight", Torch.zeros(manager, Dtype.FLOAT32, 10, 8));
        adapter.save(dir, "models/llama");

        try (Adapter loaded = Adapter.load(manager, dir, MODULES, "llama", null)) {
            assertThat(loaded.config()).isEqualTo(config);
            assertThat(loaded.dtype()).isEqualTo(dtype);
            assertThat(loaded.baseModel()).isEqualTo("models/llama");
            assertThat(loaded.parameters().keySet())
                    .containsExactlyElementsOf(adapter.parameters().keySet());
            loaded.parameters()
                    .forEach((name, tensor) -> assertThat(Torch.toFloats(tensor))
                            .as(name)
                            .containsExactly(Torch.toFloats(adapter.parameters().get(name))));
            assertThat(loaded.get("model.layers.0.self_attn.v_proj").scaling()).isEqualTo(8 / Math.sqrt(3));
        }
        try (Adapter alone = Adapter.load(manager, dir)) {
            assertThat(alone.parameters().keySet())
                    .containsExactlyInAnyOrderElementsOf(adapter.parameters().keySet());
            assertThat(alone.get("model.layers.0.self_attn.v_proj").r()).isEqualTo(3);
        }
        assertThat(dir.toFile().list()).containsExactlyInAnyOrder("adapter_config.json", "adapter_model.safetensors");
    }

    @Test
    void namesTheTensorThatIsWrong() {
        create(queryAndValue().build(), Dtype.FLOAT32, 3).save(dir, "base");
        String a = "base_model.model.model.layers.0.self_attn.v_proj.lora_A.weight";
        rewrite(t -> t.remove(a));
        assertThatThrownBy(this::load).isInstanceOf(QloraException.class).hasMessageContaining(a + " is missing");

        rewrite(t -> t.put(a, Torch.zeros(manager, Dtype.FLOAT32, 2, 9)));
        assertThatThrownBy(this::load)
                .isInstanceOf(QloraException.class)
                .hasMessageContaining(a)
                .hasMessageContaining("[2, 9]")
                .hasMessageContaining("[2, 8]");

        rewrite(t -> {
            t.put(a, Torch.zeros(manager, Dtype.FLOAT32, 2, 8));
            t.put("base_model.model.model.norm.weight", Torch.zeros(manager, Dtype.FLOAT32, 8));
        });
        assertThatThrownBy(this::load)
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("model.norm.weight is unexpected");

        rewrite(t -> {
            t.remove("base_model.model.model.norm.weight");
            t.put(a.replace("lora_A.weight", "lora_magnitude_vector"), Torch.zeros(manager, Dtype.FLOAT32, 8));
        });
        assertThatThrownBy(this::load)
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("lora_magnitude_vector")
                .hasMessageContaining("not supported");
    }

    @Test
    void refusesAPickleWithTheWayToConvertIt() throws IOException {
        create(queryAndValue().build(), Dtype.FLOAT32, 3).save(dir, "base");
        Files.move(dir.resolve("adapter_model.safetensors"), dir.resolve("adapter_model.bin"));
        assertThatThrownBy(this::load)
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("adapter_model.bin")
                .hasMessageContaining("save_file");
    }

    @Test
    void freesItsTensorsWhenClosed() {
        NDArray a;
        try (Adapter adapter = create(queryAndValue().build(), Dtype.FLOAT32, 3)) {
            a = adapter.get("model.layers.0.self_attn.q_proj").a();
        }
        assertThat(a.isReleased()).isTrue();
        assertThat(manager.getManagedArrays()).isEmpty();
    }

    private void load() {
        Adapter.load(manager, dir, MODULES, "llama", null).close();
    }

    private void rewrite(Consumer<Map<String, NDArray>> change) {
        Path file = dir.resolve(Adapter.WEIGHTS);
        Map<String, NDArray> tensors = new TreeMap<>();
        try (SafetensorsFile old = SafetensorsFile.open(file)) {
            old.tensors().keySet().forEach(name -> tensors.put(name, old.read(manager, name)));
        }
        change.accept(tensors);
        SafetensorsWriter.writeAll(file, Map.of("format", "pt"), tensors);
    }

    @Test
    void refusesWhatIsNotFinite() {
        Adapter adapter = create(queryAndValue().build(), Dtype.FLOAT32, 42);
        adapter.save(dir, "base");
        Map<String, NDArray> tensors = new TreeMap<>(adapter.parameters());
        String name = tensors.keySet().iterator().next();
        float[] values = Torch.toFloats(tensors.get(name));
        values[3] = Float.NaN;
        tensors.put(name, Torch.ofFloats(manager, values, Torch.shape(tensors.get(name))));
        SafetensorsWriter.writeAll(dir.resolve(Adapter.WEIGHTS), Map.of("format", "pt"), tensors);
        assertThatThrownBy(() -> Adapter.load(manager, dir))
                .isInstanceOf(QloraException.class)
                .hasMessageContainingAll(Adapter.WEIGHTS, name, "NaN");
    }

    @Test
    void namesTheFileThatAsksForAModuleThatTheBaseLacks() throws IOException {
        create(queryAndValue().build(), Dtype.FLOAT32, 42).save(dir, "base");
        Path file = dir.resolve(AdapterConfigFile.NAME);
        String whole = Files.readString(file);
        for (String asked : List.of("\"modules_to_save\": [\"nothing\"]", "\"target_modules\": [\"nothing\"]")) {
            String key = asked.substring(0, asked.indexOf(':'));
            Files.writeString(file, whole.replaceFirst(key + ": (null|\\[[^\\]]*\\])", asked));
            assertThatThrownBy(() -> Adapter.load(manager, dir, MODULES, "llama", null))
                    .isInstanceOf(QloraException.class)
                    .hasMessageStartingWith(file + ": ")
                    .hasMessageContaining("nothing");
        }
    }
}
