package io.github.qlora4j.quant.safetensors;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class SafetensorsFileTest {

    private static final Path MIXED = Path.of("src/test/resources/golden/mixed.safetensors");

    @TempDir
    private Path dir;

    @Test
    void readsWhatPythonWrote() {
        try (NDManager manager = Torch.newManager();
                SafetensorsFile file = SafetensorsFile.open(MIXED)) {
            assertThat(file.metadata()).containsExactly(Map.entry("format", "pt"));
            assertThat(file.tensors()).hasSize(11);
            assertThat(file.info("ä.signed").shape()).containsExactly(2, 1);
            assertThat(Torch.toFloats(file.read(manager, "y.brain"))).containsExactly(0.5f, -1.25f, 3f, 1.00025555e30f);
            assertThat(Torch.toFloats(file.read(manager, "z.half"))).containsExactly(0.5f, -1.25f, 65504f);
            assertThat(file.read(manager, "u.long").toLongArray()).containsExactly(1L << 40);
            NDArray scalar = file.read(manager, "w.float");
            assertThat(Torch.shape(scalar)).isEmpty();
            assertThat(scalar.getFloat()).isEqualTo(3.25f);
            assertThat(Torch.shape(file.read(manager, "t.empty"))).containsExactly(0, 4);
        }
    }

    @Test
    void writesTheSameBytesAsPython() throws IOException {
        Path copy = dir.resolve("copy.safetensors");
        try (NDManager manager = Torch.newManager();
                SafetensorsFile file = SafetensorsFile.open(MIXED)) {
            Map<String, NDArray> tensors = new LinkedHashMap<>();
            file.tensors().keySet().stream().sorted().forEach(name -> tensors.put(name, file.read(manager, name)));
            SafetensorsWriter.writeAll(copy, file.metadata(), tensors);
        }
        assertThat(copy).hasSameBinaryContentAs(MIXED);
    }

    /** By code point, as Rust and Python do; Java's strings would have the two the other way round. */
    @Test
    void tensorsOfOneDtypeAreLaidOutByName() {
        Path file = dir.resolve("order.safetensors");
        List<TensorSpec> specs = List.of(
                new TensorSpec("\uD83D\uDE00", Dtype.UINT8, 1),
                new TensorSpec("\uFF5E", Dtype.UINT8, 1),
                new TensorSpec("b", Dtype.UINT8, 2),
                new TensorSpec("a", Dtype.UINT8, 3),
                new TensorSpec("wide", Dtype.FLOAT32, 1));
        try (SafetensorsWriter writer = SafetensorsWriter.create(file, Map.of(), specs)) {
            for (TensorSpec spec : specs) {
                writer.write(spec.name(), ByteBuffer.allocate((int) spec.byteLength()));
            }
            writer.finish();
        }
        try (SafetensorsFile open = SafetensorsFile.open(file)) {
            assertThat(open.path()).isEqualTo(file);
            assertThat(open.tensors().keySet()).containsExactly("wide", "a", "b", "\uFF5E", "\uD83D\uDE00");
        }
    }

    @Test
    void aTensorThatIsDeclaredTwiceOrNotAtAllIsRefused() {
        TensorSpec a = new TensorSpec("a", Dtype.UINT8, 1);
        Path file = dir.resolve("bad.safetensors");
        assertThatThrownBy(() -> SafetensorsWriter.create(file, Map.of(), List.of(a, a)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("a second tensor named a");
        try (SafetensorsWriter writer = SafetensorsWriter.create(file, Map.of(), List.of(a))) {
            assertThatThrownBy(() -> writer.write("b", ByteBuffer.allocate(1))).hasMessage("b was not declared");
        }
        assertThat(dir).isEmptyDirectory();
    }

    @Test
    void aFileWithoutTensorsIsTheSmallest() throws IOException {
        try (SafetensorsFile open = SafetensorsFile.open(file("{}", 0))) {
            assertThat(open.tensors()).isEmpty();
            assertThat(open.metadata()).isEmpty();
        }
        Path small = Files.write(dir.resolve("small.safetensors"), new byte[9]);
        assertThatThrownBy(() -> SafetensorsFile.open(small))
                .hasMessage(small + ": 9 bytes are too few for a safetensors file; it is empty or cut");
        assertThatThrownBy(() -> SafetensorsFile.open(dir))
                .hasMessage(dir + ": this is a directory; a safetensors file was expected");
        assertThatThrownBy(() -> SafetensorsFile.open(dir.resolve("gone")))
                .hasMessage(dir.resolve("gone") + ": no such file");
    }

    @Test
    void theOrderOfMetadataChangesNoByte() {
        Map<String, String> one = new LinkedHashMap<>();
        Map<String, String> other = new LinkedHashMap<>();
        for (int i = 0; i < 9; i++) {
            one.put("key" + i, "v");
            other.put("key" + (8 - i), "v");
        }
        SafetensorsWriter.writeAll(dir.resolve("one.safetensors"), one, Map.of());
        SafetensorsWriter.writeAll(dir.resolve("other.safetensors"), other, Map.of());
        assertThat(dir.resolve("one.safetensors")).hasSameBinaryContentAs(dir.resolve("other.safetensors"));
    }

    @Test
    void readsAPartOfATensor() {
        try (SafetensorsFile file = SafetensorsFile.open(MIXED)) {
            ByteBuffer two = ByteBuffer.allocate(2);
            file.read("a.bytes", 3, two);
            assertThat(two.array()).containsExactly(3, 4);
            assertThatThrownBy(() -> file.read("a.bytes", 4, ByteBuffer.allocate(2)))
                    .isInstanceOf(QloraException.class)
                    .hasMessageContaining("a.bytes")
                    .hasMessageContaining("mixed.safetensors")
                    .hasMessageEndingWith(": bytes 4 to 6 were asked for, it has 5");
            assertThatThrownBy(() -> file.read("a.bytes", -1, ByteBuffer.allocate(2)))
                    .isInstanceOf(QloraException.class);
        }
    }

    @Test
    void tensorsComeInTheOrderOfTheirBytes_howeverTheHeaderNamesThem() throws IOException {
        Path file = file(
                "{\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[2,6]},"
                        + "\"c\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[2,2]},"
                        + "\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}",
                6);
        try (SafetensorsFile open = SafetensorsFile.open(file)) {
            assertThat(open.tensors().keySet()).containsExactly("a", "c", "b");
        }
    }

    @Test
    void aTensorIsDescribedInWords() {
        try (SafetensorsFile file = SafetensorsFile.open(MIXED)) {
            assertThat(file.info("ä.signed").elements()).isEqualTo(2);
            assertThat(file.info("y.brain").elements()).isEqualTo(4);
            assertThat(file.info("w.float").elements()).isEqualTo(1);
            assertThat(file.info("t.empty").elements()).isZero();
            assertThat(file.info("y.brain")).hasToString("y.brain bfloat16 [2, 2]");
        }
    }

    @Test
    void unknownTensorIsNamed() {
        try (SafetensorsFile file = SafetensorsFile.open(MIXED)) {
            assertThatThrownBy(() -> file.info("nope"))
                    .isInstanceOf(QloraException.class)
                    .hasMessageContaining("tensor nope");
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '^',
            value = {
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}} | 4 | tensor a: shape [2] in F32 needs 8 bytes, data_offsets give 4",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}} | 8 | describes 4 bytes of tensors, the file holds 8;",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}} | 3 | tensor a: data_offsets [0, 4] lie outside the 3 bytes of data",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}} | 8 | tensor a: its bytes begin at 4",
                "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[2,6]}} | 6 | tensor b: its bytes begin at 2, the tensor before it ends at 4",
                "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}} | 2 | tensor a: it is described twice",
                "{\"a\":{\"dtype\":\"F9\",\"shape\":[1],\"data_offsets\":[0,1]}} | 1 | tensor a: dtype F9",
                "{\"a\":{\"dtype\":\"U8\",\"shape\":[-1],\"data_offsets\":[0,1]}} | 1 | tensor a: shape: a non-negative whole number was expected, found -1",
                "{\"a\":{\"dtype\":\"U8\",\"shape\":[\"1\"],\"data_offsets\":[0,1]}} | 1 | tensor a: shape: a non-negative whole number was expected, found a text",
                "{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}} | 0 | more elements than can be counted",
                "{\"a\":{\"dtype\":\"F64\",\"shape\":[576460752303423488,4],\"data_offsets\":[0,0]}} | 0 | more elements than can be counted",
                "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,0]}} | 1 | lie outside",
                "{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}} | 1 | are all needed",
                "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":1}} | 1 | unexpected or repeated key \"x\"",
                "{\"a\":[]} | 0 | tensor a: an object",
                "{\"__metadata__\":{\"a\":1}} | 0 | __metadata__.a: a string was expected",
                "[] | 0 | not valid JSON",
                "{} {} | 0 | something follows",
                "{'a':1} | 0 | not valid JSON",
                "{\"a\": | 0 | it ends in the middle",
            })
    void refusesADamagedHeader(String json, int dataBytes, String message) throws IOException {
        Path file = file(json, dataBytes);
        assertThatThrownBy(() -> SafetensorsFile.open(file))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("bad.safetensors")
                .hasMessageContaining(message);
    }

    /** A file of a header and as many bytes of data, all zero. */
    private Path file(String json, int dataBytes) throws IOException {
        byte[] header = json.getBytes(StandardCharsets.UTF_8);
        ByteBuffer bytes = ByteBuffer.allocate(8 + header.length + dataBytes).order(ByteOrder.LITTLE_ENDIAN);
        bytes.putLong(header.length).put(header);
        return Files.write(dir.resolve("bad.safetensors"), bytes.array());
    }

    @ParameterizedTest
    @CsvSource({
        "-1, is announced",
        "9223372036854775807, is announced",
        "100000001, 100000000 is the most",
        "90000, cut"
    })
    void refusesAHeaderLengthThatCannotBe(long length, String message) throws IOException {
        Path file = dir.resolve("bad.safetensors");
        Files.write(
                file,
                ByteBuffer.allocate(64)
                        .order(ByteOrder.LITTLE_ENDIAN)
                        .putLong(length)
                        .array());
        assertThatThrownBy(() -> SafetensorsFile.open(file))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining(message);
    }

    @Test
    void everyCutOfAFileIsRefused() throws IOException {
        byte[] whole = Files.readAllBytes(MIXED);
        Path file = dir.resolve("cut.safetensors");
        for (int length = 0; length < whole.length; length += 7) {
            Files.write(file, java.util.Arrays.copyOf(whole, length));
            assertThatThrownBy(() -> SafetensorsFile.open(file))
                    .as("cut to %d bytes", length)
                    .isInstanceOf(QloraException.class);
        }
    }

    @Test
    void aFileCutWhileOpenIsAnErrorThatNamesIt() throws IOException {
        Path file = dir.resolve("cut.safetensors");
        Files.copy(MIXED, file);
        try (NDManager manager = Torch.newManager();
                SafetensorsFile open = SafetensorsFile.open(file)) {
            Files.write(file, new byte[10]);
            assertThatThrownBy(() -> open.read(manager, "y.brain"))
                    .isInstanceOf(QloraException.class)
                    .hasMessageContaining("cut.safetensors")
                    .hasMessageContaining("cut after it was opened");
        }
    }

    @Test
    void closingAnUnfinishedWriterLeavesTheOldFile() throws IOException {
        Path file = dir.resolve("kept.safetensors");
        Files.copy(MIXED, file);
        List<TensorSpec> specs = List.of(new TensorSpec("a", Dtype.FLOAT32, 2), new TensorSpec("b", Dtype.UINT8, 1));
        try (SafetensorsWriter writer = SafetensorsWriter.create(file, Map.of(), specs)) {
            writer.write("b", ByteBuffer.wrap(new byte[1]));
            assertThatThrownBy(() -> writer.write("b", ByteBuffer.wrap(new byte[1])))
                    .hasMessageContaining("already written");
            assertThatThrownBy(() -> writer.write("a", ByteBuffer.wrap(new byte[7])))
                    .hasMessageContaining("8 bytes were declared, got 7");
            assertThatThrownBy(writer::finish).isInstanceOf(IllegalStateException.class);
        }
        assertThat(file).hasSameBinaryContentAs(MIXED);
        assertThat(dir.toFile().list()).containsExactly("kept.safetensors");
    }

    @Test
    void aModelLargerThanTheDiskIsRefusedBeforeAnythingIsWritten() {
        List<TensorSpec> specs = List.of(new TensorSpec("a", Dtype.FLOAT32, 1L << 50));
        assertThatThrownBy(() -> SafetensorsWriter.create(dir.resolve("big.safetensors"), Map.of(), specs))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("the disk has room for");
        assertThat(dir).isEmptyDirectory();
    }
}
