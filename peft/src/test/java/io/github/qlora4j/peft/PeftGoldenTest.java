package io.github.qlora4j.peft;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.safetensors.SafetensorsFile;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Against what peft 0.21.2 writes, matches and merges: scripts/golden/peft_files.py made the files. */
class PeftGoldenTest {

    private static final Path GOLDEN = Path.of("src/test/resources/golden");

    @TempDir
    Path dir;

    static JsonElement json(String name) {
        try {
            return JsonParser.parseString(Files.readString(GOLDEN.resolve(name)));
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    static List<ModuleInfo> modules() {
        List<ModuleInfo> modules = new ArrayList<>();
        for (JsonElement element : json("modules.json").getAsJsonArray()) {
            JsonArray row = element.getAsJsonArray();
            String kind = row.get(1).getAsString();
            modules.add(new ModuleInfo(
                    row.get(0).getAsString(),
                    row.get(2).getAsLong(),
                    row.get(3).getAsLong(),
                    !kind.equals("other"),
                    kind.equals("head")));
        }
        return modules;
    }

    static List<JsonObject> targetRows() {
        return json("targets.json").getAsJsonArray().asList().stream()
                .map(JsonElement::getAsJsonObject)
                .toList();
    }

    @ParameterizedTest
    @MethodSource("targetRows")
    void matchesTheModulesThatPeftMatches(JsonObject row) {
        JsonObject keys = row.getAsJsonObject("config").deepCopy();
        keys.addProperty("peft_type", "LORA");
        if (row.has("raises")) {
            assertThatThrownBy(() -> match(keys)).isInstanceOf(QloraException.class);
            return;
        }
        List<List<Object>> matched = match(keys).stream()
                .map(t -> List.<Object>of(t.name(), t.r(), t.alpha(), t.scaling()))
                .toList();
        List<List<Object>> expected = row.getAsJsonArray("matched").asList().stream()
                .map(JsonElement::getAsJsonArray)
                .map(a -> List.<Object>of(
                        a.get(0).getAsString(),
                        a.get(1).getAsInt(),
                        a.get(2).getAsDouble(),
                        a.get(3).getAsDouble()))
                .toList();
        assertThat(matched).isEqualTo(expected);
    }

    private static List<Target> match(JsonObject keys) {
        LoraConfig config = new AdapterConfigReader(Path.of("adapter_config.json"), keys)
                .read(key -> {})
                .lora();
        return new TargetMatching(config, "llama").resolve(modules(), false);
    }

    @Test
    void printsTheLineThatPeftPrints() {
        List<ModuleInfo> modules = modules();
        LoraConfig config = LoraConfig.builder().build();
        long trained = TargetModules.resolve(config, modules, "llama").stream()
                .mapToLong(Target::parameters)
                .sum();
        String line = targetRows().get(0).get("printed").getAsString();
        long all = Long.parseLong(
                line.replaceAll(".*all params: ([0-9,]+).*", "$1").replace(",", ""));
        assertThat(new TrainableParameters(trained, all)).hasToString(line);
        assertThat(new TrainableParameters(4_194_304L, 6_742_609_920L))
                .hasToString("trainable params: 4,194,304 || all params: 6,742,609,920 || trainable%: 0.0622");
    }

    @Test
    void hasPeftsDefaultTargetsOfEveryModelType() {
        Map<String, Set<String>> expected = new TreeMap<>();
        json("defaults.json")
                .getAsJsonObject()
                .entrySet()
                .forEach(e -> expected.put(
                        e.getKey(),
                        e.getValue().isJsonArray()
                                ? new HashSet<>(e.getValue().getAsJsonArray().asList().stream()
                                        .map(JsonElement::getAsString)
                                        .toList())
                                : Set.of(e.getValue().getAsString())));
        Map<String, Set<String>> actual = new TreeMap<>();
        DefaultTargets.table()
                .forEach((type, targets) -> actual.put(
                        type,
                        targets instanceof TargetModules.Names names
                                ? new HashSet<>(names.names())
                                : Set.of(((TargetModules.Regex) targets).pattern())));
        assertThat(actual).isEqualTo(expected);
    }

    static Stream<Path> adapters() throws IOException {
        try (Stream<Path> list = Files.list(GOLDEN.resolve("adapters"))) {
            return list.sorted().toList().stream();
        }
    }

    @ParameterizedTest
    @MethodSource("adapters")
    void loadsEveryAdapterOfPeftAndWritesTheSameBytes(Path adapterDir) throws IOException {
        JsonObject sums = JsonParser.parseString(Files.readString(adapterDir.resolve("values.json")))
                .getAsJsonObject();
        try (NDManager manager = Torch.newManager();
                Adapter adapter = Adapter.load(manager, adapterDir, modules(), "llama", null)) {
            assertThat(adapter.parameters().keySet()).containsExactlyInAnyOrderElementsOf(sums.keySet());
            adapter.parameters().forEach((key, tensor) -> {
                double sum = 0;
                for (float value : Torch.toFloats(tensor)) {
                    sum += value;
                }
                // both sums are taken in double; only their order may differ
                assertThat(sum).as(key).isCloseTo(sums.get(key).getAsDouble(), within(1e-12));
            });
            adapter.save(dir, AdapterConfigFile.read(adapterDir));
        }
        assertThat(dir.resolve("adapter_config.json"))
                .hasSameTextualContentAs(adapterDir.resolve("adapter_config.json"));
        assertThat(dir.resolve("adapter_model.safetensors"))
                .hasSameBinaryContentAs(adapterDir.resolve("adapter_model.safetensors"));
    }

    @Test
    void mergesAsPeftInFloat32AndCloserInBfloat16() {
        assertMerged("fp32", Dtype.FLOAT32, 1e-6f);
        // peft rounds the product to bfloat16 and then the sum, we the sum alone; values stay below 4, where half a
        // step of bfloat16 is 2⁻⁷: three of them
        assertMerged("bf16", Dtype.BFLOAT16, 3 * 0x1p-7f);
    }

    private static void assertMerged(String golden, Dtype dtype, float tolerance) {
        try (NDManager manager = Torch.newManager();
                Adapter adapter = Adapter.load(manager, GOLDEN.resolve("merged/adapter"));
                ModelDirectory base = ModelDirectory.open(GOLDEN.resolve("base"));
                SafetensorsFile merged = SafetensorsFile.open(GOLDEN.resolve("merged/" + golden + ".safetensors"))) {
            assertThat(adapter.modules()).hasSize(3);
            for (LoraWeights lora : adapter.modules().values()) {
                NDArray w = base.read(manager, lora.module() + ".weight");
                float[] actual = Torch.toFloats(Merge.merge(manager, w, lora, dtype));
                float[] expected = Torch.toFloats(merged.read(manager, lora.module() + ".weight"));
                assertThat(actual).as(lora.module()).containsExactly(expected, within(tolerance));
                assertThat(actual).as("not the base").isNotEqualTo(Torch.toFloats(w));
            }
        }
    }
}
