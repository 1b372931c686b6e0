package io.github.qlora4j.peft;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.safetensors.SafetensorsFile;
import io.github.qlora4j.quant.safetensors.SafetensorsWriter;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class MergedModelTest {

    private static final Path GOLDEN = Path.of("src/test/resources/golden");
    private static final Path BASE = GOLDEN.resolve("base");
    private static final Path ADAPTER = GOLDEN.resolve("merged/adapter");

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

    private void merge(Path base, Path out, Dtype dtype, MergedModel.RoundTrip roundTrip) {
        try (ModelDirectory tensors = ModelDirectory.open(base);
                Adapter adapter = Adapter.load(manager, ADAPTER)) {
            new MergedModel(base, BaseTensors.of(tensors), adapter, dtype, roundTrip).write(out);
        }
    }

    @Test
    void writesAWholeModelWithTheWeightsThatPeftMerges() throws IOException {
        Path out = dir.resolve("deep/merged");
        merge(BASE, out, Dtype.FLOAT32, null);

        assertThat(out.toFile().list())
                .containsExactlyInAnyOrder("config.json", "generation_config.json", "model.safetensors");
        assertThat(out.getParent().toFile().list()).containsExactly("merged");
        JsonObject config = JsonParser.parseString(Files.readString(out.resolve("config.json")))
                .getAsJsonObject();
        assertThat(config.get("dtype").getAsString()).isEqualTo("float32");
        try (ModelDirectory merged = ModelDirectory.open(out);
                ModelDirectory base = ModelDirectory.open(BASE);
                SafetensorsFile golden = SafetensorsFile.open(GOLDEN.resolve("merged/fp32.safetensors"))) {
            assertThat(merged.names()).containsExactlyInAnyOrderElementsOf(base.names());
            for (String name : merged.names()) {
                boolean isTouched = golden.tensors().containsKey(name);
                NDArray expected = isTouched ? golden.read(manager, name) : base.read(manager, name);
                assertThat(merged.info(name).dtype()).isEqualTo(Dtype.FLOAT32);
                assertThat(Torch.toFloats(merged.read(manager, name)))
                        .as(name)
                        .containsExactly(Torch.toFloats(expected), within(1e-6f));
            }
        }
    }

    @Test
    void putsLinearWeightsButTheHeadThroughTheRoundTrip() {
        List<String> seen = new ArrayList<>();
        merge(BASE, dir.resolve("out"), Dtype.BFLOAT16, (m, name, weight) -> {
            seen.add(name);
            return Torch.zeros(m, Dtype.FLOAT32, Torch.shape(weight));
        });
        assertThat(seen).hasSize(7).allMatch(name -> name.endsWith("_proj.weight"));
        try (ModelDirectory merged = ModelDirectory.open(dir.resolve("out"));
                Adapter adapter = Adapter.load(manager, ADAPTER)) {
            String module = "model.layers.0.self_attn.q_proj";
            NDArray zero = Torch.zeros(manager, Dtype.FLOAT32, 64, 64);
            NDArray delta = Merge.merge(manager, zero, adapter.get(module), Dtype.BFLOAT16);
            assertThat(Torch.toFloats(merged.read(manager, module + ".weight"))).containsExactly(Torch.toFloats(delta));
            assertThat(Torch.toFloats(merged.read(manager, "model.layers.0.mlp.up_proj.weight")))
                    .containsOnly(0f);
        }
    }

    @Test
    void givesATrainedHeadOfATiedModelAMatrixOfItsOwn() throws IOException {
        Path tied = Files.createDirectories(dir.resolve("tied"));
        Map<String, NDArray> tensors = new TreeMap<>();
        try (ModelDirectory base = ModelDirectory.open(BASE)) {
            base.names().forEach(name -> tensors.put(name, base.read(manager, name)));
        }
        tensors.remove("lm_head.weight");
        SafetensorsWriter.writeAll(tied.resolve("model.safetensors"), Map.of("format", "pt"), tensors);
        String config = Files.readString(BASE.resolve("config.json"));
        Files.writeString(
                tied.resolve("config.json"),
                config.replace("\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true"));

        merge(tied, dir.resolve("out"), Dtype.BFLOAT16, null);

        assertThat(Files.readString(dir.resolve("out/config.json"))).contains("\"tie_word_embeddings\": false");
        try (ModelDirectory merged = ModelDirectory.open(dir.resolve("out"));
                SafetensorsFile adapter = SafetensorsFile.open(ADAPTER.resolve(Adapter.WEIGHTS))) {
            assertThat(Torch.toFloats(merged.read(manager, "lm_head.weight")))
                    .containsExactly(Torch.toFloats(adapter.read(manager, "base_model.model.lm_head.weight")));
        }
    }

    @Test
    void leavesNothingBehindWhenItFails() {
        assertThatThrownBy(() -> merge(BASE, dir.resolve("out"), Dtype.FLOAT32, (m, name, weight) -> {
                    throw new QloraException("no kernel");
                }))
                .isInstanceOf(QloraException.class);
        assertThat(dir).isEmptyDirectory();
    }

    @Test
    void refusesADirectoryThatIsInUse() throws IOException {
        Files.writeString(dir.resolve("mine.txt"), "keep");
        assertThatThrownBy(() -> merge(BASE, dir, Dtype.FLOAT32, null))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("not empty");
        assertThat(dir.resolve("mine.txt")).hasContent("keep");
    }

    @Test
    void refusesABaseWhoseTensorsDoNotFit() throws IOException {
        Path base = Files.createDirectory(dir.resolve("base"));
        Files.copy(BASE.resolve("config.json"), base.resolve("config.json"));
        String module;
        try (Adapter adapter = Adapter.load(manager, ADAPTER)) {
            module = adapter.modules().keySet().iterator().next();
        }
        for (boolean integers : new boolean[] {true, false}) {
            Map<String, NDArray> tensors = new TreeMap<>();
            try (ModelDirectory whole = ModelDirectory.open(BASE)) {
                whole.names().forEach(name -> tensors.put(name, whole.read(manager, name)));
            }
            NDArray weight = tensors.get(module + ".weight");
            long[] shape = Torch.shape(weight);
            tensors.put(
                    module + ".weight",
                    integers
                            ? Torch.zeros(manager, Dtype.BOOL, shape)
                            : Torch.zeros(manager, Dtype.FLOAT32, shape[0] + 1, shape[1]));
            SafetensorsWriter.writeAll(base.resolve("model.safetensors"), Map.of("format", "pt"), tensors);
            assertThatThrownBy(() -> merge(base, dir.resolve("out"), Dtype.FLOAT32, null))
                    .isInstanceOf(QloraException.class)
                    .hasMessageContainingAll(module + ".weight", base.toString(), integers ? "bool" : "float32");
            assertThat(dir.resolve("out")).doesNotExist();
        }
    }
}
