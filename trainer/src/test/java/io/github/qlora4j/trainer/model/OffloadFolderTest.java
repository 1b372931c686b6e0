package io.github.qlora4j.trainer.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.Int8Scheme;
import io.github.qlora4j.quant.LinearWeight;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.QuantType;
import io.github.qlora4j.quant.Scratch;
import io.github.qlora4j.quant.safetensors.SafetensorsWriter;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.config.DeviceMap;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** When quantized blocks on the disk are used again, and which modules are not quantized at all. */
class OffloadFolderTest {

    private static final BaseOptions NF4 = BaseOptions.fourBit(FourBitConfig.DEFAULT, Dtype.FLOAT32);

    @TempDir
    private Path temp;

    private Path model() throws IOException {
        Path model = temp.resolve("model");
        if (!Files.exists(model)) {
            Files.createDirectory(model);
            for (String name : new String[] {"config.json", "model.safetensors"}) {
                Files.copy(Golden.model("llama-gqa").resolve(name), model.resolve(name));
            }
        }
        return model;
    }

    private void load(BaseOptions options, String map) throws IOException {
        PlacementOptions placement =
                PlacementOptions.of(DeviceMap.parse(map, "test")).withOffloadFolder(temp.resolve("offload"));
        BaseModel.load(model(), options.withPlacement(placement)).close();
    }

    /** The blocks there are, and when each was written. */
    private Map<String, FileTime> blocks() throws IOException {
        Map<String, FileTime> blocks = new TreeMap<>();
        try (Stream<Path> files = Files.list(temp.resolve("offload"))) {
            for (Path file :
                    files.filter(f -> f.toString().endsWith(".safetensors")).toList()) {
                blocks.put(file.getFileName().toString(), Files.getLastModifiedTime(file));
            }
        }
        return blocks;
    }

    @Test
    void theSameModelAndSettingsUseTheFilesAgain() throws IOException {
        load(NF4, "{\"\": cpu, model.layers.1: disk}");
        Map<String, FileTime> first = blocks();
        assertThat(first).containsOnlyKeys("model.layers.1.safetensors");
        load(NF4, "disk");
        assertThat(blocks())
                .containsOnlyKeys("model.layers.0.safetensors", "model.layers.1.safetensors")
                .containsAllEntriesOf(first);
        Map<String, FileTime> both = blocks();
        load(NF4.withPlacement(PlacementOptions.inMemory()), "disk");
        assertThat(blocks()).isEqualTo(both);
    }

    @Test
    void otherSettingsOrAnotherModelWriteThemAnew() throws IOException {
        load(NF4, "disk");
        Map<String, FileTime> before = blocks();
        load(BaseOptions.fourBit(new FourBitConfig(QuantType.FP4, 64, true), Dtype.FLOAT32), "disk");
        assertThat(blocks()).allSatisfy((name, time) -> assertThat(time).isGreaterThan(before.get(name)));
        Map<String, FileTime> fp4 = blocks();
        load(NF4, "disk");
        assertThat(blocks()).allSatisfy((name, time) -> assertThat(time).isGreaterThan(fp4.get(name)));
        Map<String, FileTime> again = blocks();
        Files.setLastModifiedTime(model().resolve("model.safetensors"), FileTime.fromMillis(1_000_000));
        load(NF4, "disk");
        assertThat(blocks()).allSatisfy((name, time) -> assertThat(time).isGreaterThan(again.get(name)));
    }

    @Test
    void aFileOfSomebodyElseIsNeverOverwritten() throws IOException {
        Path file = Files.createDirectory(temp.resolve("offload")).resolve("model.layers.0.safetensors");
        try (NDManager manager = Torch.newManager()) {
            SafetensorsWriter.writeAll(
                    file, Map.of("format", "pt"), Map.of("x", Torch.zeros(manager, Dtype.FLOAT32, 1)));
        }
        byte[] before = Files.readAllBytes(file);
        assertThatThrownBy(() -> load(NF4, "disk"))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("was not written for offloading; name a folder of its own");
        assertThat(file).hasBinaryContent(before);
    }

    @Test
    void fp32Offload_keepsWhatIsOnTheDiskInFloat32() throws IOException {
        PlacementOptions placement = new PlacementOptions(
                java.util.Optional.of(DeviceMap.parse("{\"\": cpu, model.layers.1: disk}", "test")),
                Map.of(),
                java.util.Optional.empty(),
                true,
                0);
        BaseOptions options = BaseOptions.eightBit(new Int8Scheme(6.0));
        try (BaseModel base = BaseModel.load(model(), options.withPlacement(placement));
                BaseModel plain = BaseModel.load(model(), BaseOptions.unquantized());
                Scratch scratch = new Scratch()) {
            assertThat(base.layers().get(0).linears().values())
                    .allMatch(weight -> weight.scheme().equals("int8"));
            assertThat(base.layers().get(1).linears()).allSatisfy((name, weight) -> {
                assertThat(weight.scheme()).isEqualTo("float32");
                assertThat(base.computeOf(weight)).isEqualTo(Dtype.FLOAT32);
                LinearWeight stored = plain.layers().get(1).linears().get(name);
                assertThat(Torch.toFloats(weight.dense(Dtype.FLOAT32, scratch)))
                        .isEqualTo(Torch.toFloats(stored.dense(Dtype.FLOAT32, scratch)));
            });
        }
        assertThat(temp.resolve("offload")).doesNotExist();
        assertThatThrownBy(
                        () -> BaseModel.load(model(), BaseOptions.unquantized().withPlacement(placement))
                                .close())
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("is for a base that is quantized while it is loaded");
    }
}
