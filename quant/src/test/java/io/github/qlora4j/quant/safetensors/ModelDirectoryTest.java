package io.github.qlora4j.quant.safetensors;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ModelDirectoryTest {

    @TempDir
    private Path dir;

    private void writeModel(long maxShardBytes) {
        List<TensorSpec> specs = List.of(
                new TensorSpec("a", Dtype.UINT8, 4),
                new TensorSpec("b", Dtype.UINT8, 6),
                new TensorSpec("c", Dtype.UINT8, 20),
                new TensorSpec("d", Dtype.UINT8, 1));
        try (ShardedSafetensorsWriter writer =
                ShardedSafetensorsWriter.create(dir, Map.of("format", "pt"), specs, maxShardBytes)) {
            for (TensorSpec spec : List.of(specs.get(3), specs.get(1), specs.get(0), specs.get(2))) {
                byte[] bytes = new byte[(int) spec.byteLength()];
                java.util.Arrays.fill(bytes, (byte) spec.name().charAt(0));
                writer.write(spec.name(), ByteBuffer.wrap(bytes));
            }
            writer.finish();
        }
    }

    private void checkModel(int files) {
        try (NDManager manager = Torch.newManager();
                ModelDirectory model = ModelDirectory.open(dir)) {
            assertThat(model.names()).containsExactlyInAnyOrder("a", "b", "c", "d");
            assertThat(model.names().stream().map(model::fileOf).distinct()).hasSize(files);
            for (String name : model.names()) {
                assertThat(model.read(manager, name).toUint8Array()).containsOnly(name.charAt(0));
            }
        }
    }

    @Test
    void aSmallModelIsOneFile() {
        writeModel(1000);
        assertThat(dir.toFile().list()).containsExactly("model.safetensors");
        checkModel(1);
    }

    @Test
    void namesOfShardsHaveTheSameDigitsInEveryLanguage() {
        Locale before = Locale.getDefault();
        // Arabic as written in Egypt has digits of its own
        Locale.setDefault(Locale.forLanguageTag("ar-EG-u-nu-arab"));
        try {
            writeModel(10);
        } finally {
            Locale.setDefault(before);
        }
        assertThat(dir.resolve("model-00001-of-00003.safetensors")).isRegularFile();
        checkModel(3);
    }

    @Test
    void aLargeModelIsShardedAsTransformersDoes() throws IOException {
        writeModel(10);
        // c is larger than a shard and takes the first place, as the shard being filled is closed later
        assertThat(dir.toFile().list())
                .containsExactlyInAnyOrder(
                        "model-00001-of-00003.safetensors",
                        "model-00002-of-00003.safetensors",
                        "model-00003-of-00003.safetensors",
                        "model.safetensors.index.json");
        assertThat(dir.resolve("model.safetensors.index.json")).hasContent("""
                        {
                          "metadata": {
                            "total_size": 31
                          },
                          "weight_map": {
                            "a": "model-00002-of-00003.safetensors",
                            "b": "model-00002-of-00003.safetensors",
                            "c": "model-00001-of-00003.safetensors",
                            "d": "model-00003-of-00003.safetensors"
                          }
                        }
                        """);
        checkModel(3);
    }

    @Test
    void aShardIsFullWhenTheNextTensorWouldNotFit_andOneTensorMayFillIt() {
        writeModel(20);
        try (ModelDirectory model = ModelDirectory.open(dir)) {
            // a and b come to 10, c fills a shard of its own to the last byte, d would be one too many
            assertThat(model.fileOf("b")).isEqualTo(model.fileOf("a"));
            assertThat(model.fileOf("c")).isNotEqualTo(model.fileOf("a"));
            assertThat(model.fileOf("d")).isNotEqualTo(model.fileOf("c"));
            assertThat(model.path()).isEqualTo(dir);
            assertThat(model.metadata()).containsExactly(Map.entry("format", "pt"));
            assertThat(model.has("a")).isTrue();
            assertThat(model.has("e")).isFalse();
            assertThatThrownBy(() -> model.read(null, "e")).hasMessage(dir + ": there is no tensor e");
        }
    }

    @Test
    void tensorsOfTheEngineAreWrittenToo_andAModelOfNoneIsOneFile() {
        try (NDManager manager = Torch.newManager();
                ShardedSafetensorsWriter writer = ShardedSafetensorsWriter.create(
                        dir.resolve("a"), Map.of(), List.of(new TensorSpec("x", Dtype.FLOAT32, 2)), 1)) {
            assertThatThrownBy(writer::finish)
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("1 of 1");
            writer.write("x", Torch.ofFloats(manager, new float[] {1, 2}, 2));
            writer.finish();
            try (ModelDirectory model = ModelDirectory.open(dir.resolve("a"))) {
                assertThat(Torch.toFloats(model.read(manager, "x"))).containsExactly(1, 2);
            }
        }
        try (ShardedSafetensorsWriter writer =
                ShardedSafetensorsWriter.create(dir.resolve("b"), Map.of(), List.of(), 1)) {
            writer.finish();
        }
        try (ModelDirectory model = ModelDirectory.open(dir.resolve("b"))) {
            assertThat(model.names()).isEmpty();
        }
    }

    @Test
    void whatIsNotFinishedLeavesNoHalfFile() {
        List<TensorSpec> specs = List.of(new TensorSpec("a", Dtype.UINT8, 2), new TensorSpec("b", Dtype.UINT8, 2));
        try (ShardedSafetensorsWriter writer = ShardedSafetensorsWriter.create(dir, Map.of(), specs, 9)) {
            writer.write("a", ByteBuffer.allocate(2));
            assertThatThrownBy(() -> writer.write("c", ByteBuffer.allocate(2))).hasMessage("c was not declared");
        }
        assertThat(dir).isEmptyDirectory();
        assertThatThrownBy(() -> ShardedSafetensorsWriter.create(dir, Map.of(), specs, 0))
                .isInstanceOf(IllegalArgumentException.class);
        TensorSpec large = new TensorSpec("a", Dtype.UINT8, 1L << 60);
        assertThatThrownBy(() -> ShardedSafetensorsWriter.create(dir, Map.of(), List.of(large), 9))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining((1L << 60) + " bytes are needed, the disk has room for");
        assertThatThrownBy(() -> ShardedSafetensorsWriter.create(dir, Map.of(), List.of(specs.get(0), specs.get(0)), 9))
                .hasMessageContaining("a second tensor named a");
    }

    @Test
    void filesWithoutAnIndexAreOpenedTogether_unlessTwoHoldTheSame() {
        writeModel(10);
        List<Path> files = List.of(
                dir.resolve("model-00001-of-00003.safetensors"), dir.resolve("model-00002-of-00003.safetensors"));
        try (ModelDirectory model = ModelDirectory.open(dir, files)) {
            assertThat(model.names()).containsExactlyInAnyOrder("a", "b", "c");
            assertThat(model.fileOf("c")).isEqualTo(files.get(0));
        }
        assertThatThrownBy(() -> ModelDirectory.open(dir, List.of(files.get(0), files.get(0))))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("tensor c is in " + files.get(0) + " too");
    }

    private void index(String weightMap) throws IOException {
        writeModel(1000);
        Files.move(dir.resolve("model.safetensors"), dir.resolve("m.safetensors"), StandardCopyOption.REPLACE_EXISTING);
        Files.writeString(dir.resolve("model.safetensors.index.json"), "{\"weight_map\": " + weightMap + "}");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "../m.safetensors",
                "/etc/m.safetensors",
                "x/m.safetensors",
                "..\\\\m.safetensors",
                "C:m.safetensors",
                "..",
                "",
                "m.bin"
            })
    void aShardOutsideTheDirectoryIsRefused(String name) throws IOException {
        index("{\"a\": \"" + name + "\"}");
        assertThatThrownBy(() -> ModelDirectory.open(dir))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("tensor a")
                .hasMessageContaining("plain name");
    }

    @Test
    void aMissingShardOrTensorIsNamed() throws IOException {
        index("{\"a\": \"m.safetensors\", \"b\": \"n.safetensors\"}");
        assertThatThrownBy(() -> ModelDirectory.open(dir))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("tensor b is said to be in n.safetensors, which is not there");
        index("{\"e\": \"m.safetensors\"}");
        assertThatThrownBy(() -> ModelDirectory.open(dir))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("tensor e is said to be in m.safetensors, which does not hold it");
        index("{\"a\": \"m.safetensors\", \"a\": \"m.safetensors\"}");
        assertThatThrownBy(() -> ModelDirectory.open(dir)).hasMessageContaining("\"a\" stands twice");
        index("[]");
        assertThatThrownBy(() -> ModelDirectory.open(dir)).hasMessageContaining("weight_map");
    }

    @Test
    void picklesAreRefusedWithTheWayToConvert() throws IOException {
        Files.write(dir.resolve("pytorch_model.bin"), new byte[3]);
        assertThatThrownBy(() -> ModelDirectory.open(dir))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("pytorch_model.bin")
                .hasMessageContaining("save_pretrained");
    }

    @Test
    void anEmptyOrMissingDirectorySaysWhatIsLookedFor() {
        assertThatThrownBy(() -> ModelDirectory.open(dir)).hasMessageContaining("model.safetensors.index.json");
        assertThatThrownBy(() -> ModelDirectory.open(dir.resolve("x"))).hasMessageContaining("no such directory");
    }
}
