package io.github.qlora4j.trainer.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.DenseWeight;
import io.github.qlora4j.quant.LinearWeight;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.Scratch;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What is in memory of a base on the disk, and when it is read. */
class DiskPartsTest {

    /** Grows while it is looked at: one part is read ahead. */
    private final List<String> reads = new CopyOnWriteArrayList<>();

    private final AtomicInteger held = new AtomicInteger();
    private int most;

    /** A weight that counts how many there are. */
    private final class Counted implements LinearWeight {
        private final DenseWeight weight;

        Counted() {
            NDManager owner = Torch.newManager();
            weight = DenseWeight.owning(owner, Torch.zeros(owner, Dtype.FLOAT32, 1, 1));
            held.incrementAndGet();
        }

        @Override
        public long rows() {
            return 1;
        }

        @Override
        public long cols() {
            return 1;
        }

        @Override
        public long bytes() {
            return 4;
        }

        @Override
        public String scheme() {
            return "counted";
        }

        @Override
        public ai.djl.ndarray.NDArray dense(Dtype compute, Scratch scratch) {
            return weight.dense(compute, scratch);
        }

        @Override
        public void close() {
            weight.close();
            held.decrementAndGet();
        }
    }

    private DiskParts parts(String... names) {
        DiskParts parts = new DiskParts();
        for (String name : names) {
            parts.add(name, () -> {
                reads.add(name);
                return Map.of("w", new Counted());
            });
        }
        return parts;
    }

    private void pass(DiskParts parts, String order) {
        for (String part : order.split("")) {
            parts.take(part).get("w").dense(Dtype.FLOAT32, new Scratch());
            most = Math.max(most, held.get());
        }
    }

    @Test
    void atMostTwoAreInMemory_andTheSecondPassReadsAhead() {
        try (DiskParts parts = parts("0", "1", "2", "h")) {
            // a step: up the blocks, the head, down the blocks
            pass(parts, "012h210");
            assertThat(reads).containsExactly("0", "1", "2", "h", "2", "1", "0");
            assertThat(most).isEqualTo(1);
            reads.clear();
            pass(parts, "012h210");
            pass(parts, "012h210");
            assertThat(most).isLessThanOrEqualTo(2);
            // each part is read once a use: nothing was read ahead in vain
            parts.take("1");
            assertThat(reads).startsWith("1", "2", "h", "2", "1", "0", "1", "2", "h", "2", "1", "0", "1");
        }
        assertThat(held).hasValue(0);
    }

    @Test
    void aWrongGuessCostsAReadingAndNoResult() {
        try (DiskParts parts = parts("0", "1", "2")) {
            pass(parts, "012012");
            pass(parts, "021021");
            assertThat(parts.take("2").get("w").rows()).isEqualTo(1);
            assertThat(most).isLessThanOrEqualTo(2);
        }
        assertThat(held).hasValue(0);
    }

    @Test
    void whatCannotBeReadIsAnErrorEachTime() {
        DiskParts parts = new DiskParts();
        parts.add("0", () -> {
            throw new QloraException("model.safetensors: it ends early");
        });
        parts.add("1", () -> Map.of("w", new Counted()));
        for (int i = 0; i < 2; i++) {
            assertThatThrownBy(() -> parts.take("0"))
                    .isInstanceOf(QloraException.class)
                    .hasMessage("model.safetensors: it ends early");
        }
        assertThat(parts.take("1")).hasSize(1);
        parts.close();
        assertThat(held).hasValue(0);
    }

    @Test
    void anInterruptedThreadGoesOnReading(@TempDir Path temp) throws IOException {
        Path model = copy(temp);
        try (BaseModel base = BaseModel.load(model, BaseOptions.unquantized().withPlacement(disk()))) {
            Thread.currentThread().interrupt();
            assertThat(base.head().getShape().get(0)).isEqualTo(base.config().vocabSize());
            assertThat(Thread.interrupted()).isTrue();
            assertThat(base.embeddings().getShape().get(0))
                    .isEqualTo(base.config().vocabSize());
        }
    }

    @Test
    void aFileThatIsWrittenToIsAnError_oneThatIsReplacedIsNot(@TempDir Path temp) throws IOException {
        Path model = copy(temp);
        Path file = model.resolve("model.safetensors");
        try (BaseModel base = BaseModel.load(model, BaseOptions.unquantized().withPlacement(disk()))) {
            Files.copy(file, temp.resolve("other"));
            Files.move(temp.resolve("other"), file, StandardCopyOption.REPLACE_EXISTING);
            base.head();
        }
        try (BaseModel base = BaseModel.load(model, BaseOptions.unquantized().withPlacement(disk()))) {
            try (RandomAccessFile bytes = new RandomAccessFile(file.toFile(), "rw")) {
                bytes.setLength(bytes.length() - 16);
            }
            assertThatThrownBy(base::head)
                    .isInstanceOf(QloraException.class)
                    .hasMessageContaining("model.safetensors was changed while the model is read from it");
        }
    }

    @Test
    void rowsOfTheEmbeddingsAreReadOneByOne(@TempDir Path temp) throws IOException {
        Path model = copy(temp);
        int[] tokens = {5, 0, 5, 95, 127};
        try (BaseModel memory = BaseModel.load(model, BaseOptions.unquantized(Dtype.FLOAT32));
                BaseModel onDisk = BaseModel.load(
                        model, BaseOptions.unquantized(Dtype.FLOAT32).withPlacement(disk()));
                Trained none = new Trained(2);
                Decoder a = new Decoder(memory, none);
                Decoder b = new Decoder(onDisk, none);
                NDManager manager = Torch.newManager()) {
            assertThat(Torch.toFloats(b.embed(manager, tokens))).isEqualTo(Torch.toFloats(a.embed(manager, tokens)));
            assertThatThrownBy(() -> b.embed(manager, new int[] {128}))
                    .isInstanceOf(QloraException.class)
                    .hasMessageContaining("token id 128; the model's are 0 to 127");
            assertThat(onDisk.bytes()).isEqualTo(5 * 64 * 4L);
        }
    }

    private static PlacementOptions disk() {
        return PlacementOptions.of(
                io.github.qlora4j.trainer.config.DeviceMap.all(io.github.qlora4j.trainer.config.Device.DISK));
    }

    private static Path copy(Path temp) throws IOException {
        Path model = Files.createDirectory(temp.resolve("model"));
        for (String name : List.of("config.json", "model.safetensors")) {
            Files.copy(Golden.model("llama-gqa").resolve(name), model.resolve(name));
        }
        ModelDirectory.open(model).close();
        return model;
    }
}
