package io.github.qlora4j.trainer.optim;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.safetensors.SafetensorsWriter;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.config.OptimizerName;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

@ExtendWith(OneThread.class)
class OptimizerTest {

    @TempDir
    Path directory;

    private NDManager manager;

    @BeforeEach
    void open() {
        manager = Torch.newManager();
    }

    @AfterEach
    void close() {
        manager.close();
    }

    private OptimizerConfig config(OptimizerName name) {
        return OptimizerConfig.of(name).withWeightDecay(0.01).withPages(directory, 4 << 20);
    }

    private static void train(Optimizer optimizer, int from, int to) {
        for (int k = from; k < to; k++) {
            try (NDManager step = Torch.newManager()) {
                optimizer.step(Golden.gradients(step, k), Golden.rate(k));
            }
        }
    }

    @ParameterizedTest
    @CsvSource({
        "ADAMW_TORCH, FLOAT32", "ADAMW_TORCH, BFLOAT16",
        "PAGED_ADAMW_32BIT, FLOAT32", "PAGED_ADAMW_32BIT, BFLOAT16",
        "ADAMW_8BIT, FLOAT32", "ADAMW_8BIT, FLOAT16",
        "PAGED_ADAMW_8BIT, FLOAT32", "PAGED_ADAMW_8BIT, BFLOAT16"
    })
    void goesOnFromSavedStateBitForBit(OptimizerName name, Dtype dtype) {
        Path saved = directory.resolve("saved.safetensors");
        Map<String, String> through;
        try (Optimizer optimizer = Optimizer.create(config(name), Golden.parameters(manager, dtype))) {
            train(optimizer, 0, 4);
            optimizer.save(saved);
            train(optimizer, 4, 9);
            through = SavedState.hashes(optimizer, directory);
        }
        List<Parameter> parameters = Golden.parameters(manager, dtype);
        try (Optimizer before = Optimizer.create(config(name), parameters)) {
            train(before, 0, 4);
        }
        // the adapter's own file holds the parameters; the state brings the rest
        try (Optimizer resumed = Optimizer.create(config(name), parameters)) {
            resumed.load(saved);
            assertThat(resumed.steps()).isEqualTo(4);
            train(resumed, 4, 9);
            assertThat(SavedState.hashes(resumed, directory)).isEqualTo(through);
        }
    }

    @ParameterizedTest
    @CsvSource({
        "PAGED_ADAMW_32BIT, FLOAT32",
        "PAGED_ADAMW_32BIT, BFLOAT16",
        "PAGED_ADAMW_8BIT, FLOAT32",
        "PAGED_ADAMW_8BIT, BFLOAT16"
    })
    void givesTheSameBitsUnderAnyBoundOnPages(OptimizerName name, Dtype dtype) {
        Map<String, String> unbounded;
        try (Optimizer optimizer = Optimizer.create(config(name), Golden.parameters(manager, dtype))) {
            train(optimizer, 0, 6);
            unbounded = SavedState.hashes(optimizer, directory);
            assertThat(optimizer.paging().orElseThrow().evictions()).isZero();
        }
        for (int resident : new int[] {1, 2, 3}) {
            // pages of 4 KiB: even a parameter of 4140 elements spreads over several
            OptimizerConfig config = config(name).withPages(directory, resident * 4096L);
            try (Optimizer optimizer = new AdamW(config, Golden.parameters(manager, dtype), 4096)) {
                train(optimizer, 0, 6);
                PagingStatistics paging = optimizer.paging().orElseThrow();
                assertThat(paging.pages()).isGreaterThan(3);
                assertThat(paging.mostResidentPages()).isEqualTo(resident);
                assertThat(paging.residentBytes()).isEqualTo(resident * 4096L);
                assertThat(paging.evictions()).isGreaterThan(6L * (paging.pages() - resident) - 6);
                assertThat(SavedState.hashes(optimizer, directory))
                        .as(resident + " pages")
                        .isEqualTo(unbounded);
            }
        }
    }

    @Test
    void leavesTheSameBitsWhateverTheThreads() {
        OptimizerConfig config = config(OptimizerName.ADAMW_8BIT);
        float[] values = Golden.numbers(3, 200_003, -2);
        float[] slopes = Golden.numbers(4, 200_003, -6);
        List<Map<String, String>> hashes = new ArrayList<>();
        for (int threads : new int[] {1, 2}) {
            Torch.setThreads(threads);
            List<Parameter> one = List.of(new Parameter("w", Torch.ofFloats(manager, values)));
            try (Optimizer optimizer = Optimizer.create(config, one)) {
                List<NDArray> gradients = List.of(Torch.ofFloats(manager, slopes));
                optimizer.step(gradients, 1e-3);
                optimizer.step(gradients, 1e-3);
                hashes.add(SavedState.hashes(optimizer, directory));
            } finally {
                Torch.setThreads(1);
            }
        }
        assertThat(hashes.get(1)).isEqualTo(hashes.get(0));
    }

    @ParameterizedTest
    @EnumSource(
            value = OptimizerName.class,
            names = {"PAGED_ADAMW_32BIT", "ADAMW_8BIT"})
    void holdsNoMoreTensorsAfterAThousandUpdates(OptimizerName name) {
        List<NDArray> gradients = Golden.gradients(manager, 5);
        OptimizerConfig config = config(name).withPages(directory, 65536);
        try (Optimizer optimizer = new AdamW(config, Golden.parameters(manager, Dtype.BFLOAT16), 65536)) {
            optimizer.step(gradients, 1e-3);
            int tensors = manager.getManagedArrays().size();
            int all = baseManaged();
            for (int k = 0; k < 1000; k++) {
                optimizer.step(gradients, 1e-3);
            }
            assertThat(manager.getManagedArrays()).hasSize(tensors);
            assertThat(baseManaged()).isEqualTo(all);
            assertThat(optimizer.steps()).isEqualTo(1001);
        }
    }

    private static int baseManaged() {
        try (NDManager any = Torch.newManager()) {
            return any.getParentManager().getManagedArrays().size();
        }
    }

    @Test
    void refusesAnUpdateWithoutTouchingAnything() {
        try (Optimizer optimizer =
                Optimizer.create(config(OptimizerName.ADAMW_TORCH), Golden.parameters(manager, Dtype.FLOAT32))) {
            Map<String, String> before = SavedState.hashes(optimizer, directory);
            List<NDArray> good = Golden.gradients(manager, 5);
            for (double rate : new double[] {Double.NaN, Double.POSITIVE_INFINITY, -1e-4}) {
                assertThatThrownBy(() -> optimizer.step(good, rate))
                        .isInstanceOf(QloraException.class)
                        .hasMessageContaining("learning rate of update 1 must be a number >= 0, got " + rate);
            }
            List<NDArray> wrongShape = new ArrayList<>(good);
            wrongShape.set(2, Torch.zeros(manager, Dtype.FLOAT32, 160, 32));
            assertThatThrownBy(() -> optimizer.step(wrongShape, 1e-3))
                    .isInstanceOf(QloraException.class)
                    .hasMessage("the gradient of 2: expected float32 [32, 160], got float32 [160, 32]");
            List<NDArray> wrongType = new ArrayList<>(good);
            wrongType.set(0, Torch.zeros(manager, Dtype.BFLOAT16, 3, 7));
            assertThatThrownBy(() -> optimizer.step(wrongType, 1e-3)).hasMessageContaining("got bfloat16 [3, 7]");
            assertThatThrownBy(() -> optimizer.step(good.subList(0, 2), 1e-3))
                    .hasMessage("expected 6 gradients, one a parameter, got 2");
            assertThat(optimizer.steps()).isZero();
            assertThat(SavedState.hashes(optimizer, directory)).isEqualTo(before);
        }
    }

    @Test
    void refusesStateThatIsNotItsOwn() {
        Path file = directory.resolve("state.safetensors");
        try (Optimizer optimizer =
                Optimizer.create(config(OptimizerName.ADAMW_8BIT), Golden.parameters(manager, Dtype.FLOAT32))) {
            optimizer.save(file);
        }
        List<Parameter> parameters = Golden.parameters(manager, Dtype.FLOAT32);
        try (Optimizer other = Optimizer.create(config(OptimizerName.ADAMW_TORCH), parameters)) {
            assertThatThrownBy(() -> other.load(file))
                    .isInstanceOf(QloraException.class)
                    .hasMessageContaining(
                            "state.safetensors: expected the state of adamw_torch, format 1, got adamw_8bit");
        }
        try (Optimizer fewer = Optimizer.create(config(OptimizerName.ADAMW_8BIT), parameters.subList(0, 2))) {
            assertThatThrownBy(() -> fewer.load(file)).hasMessageContaining("expected no such tensor, got one");
        }
        List<Parameter> bf16 = Golden.parameters(manager, Dtype.BFLOAT16);
        try (Optimizer more = Optimizer.create(config(OptimizerName.PAGED_ADAMW_8BIT), bf16)) {
            Map<String, String> before = SavedState.hashes(more, directory);
            assertThatThrownBy(() -> more.load(file))
                    .hasMessageContaining("0.master: expected float32 [3, 7], got no such tensor");
            assertThat(SavedState.hashes(more, directory)).isEqualTo(before);
        }
        SafetensorsWriter.writeAll(file, Map.of("format", "pt"), Map.of());
        try (Optimizer any = Optimizer.create(config(OptimizerName.ADAMW_TORCH), parameters)) {
            assertThatThrownBy(() -> any.load(file)).hasMessageContaining("got no optimizer state");
        }
    }

    @Test
    void decaysWhatTransformersDecays() {
        assertThat(Parameter.decays("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"))
                .isTrue();
        assertThat(Parameter.decays("model.layers.0.self_attn.q_proj.bias")).isFalse();
        assertThat(Parameter.decays("model.layers.0.input_layernorm.weight")).isFalse();
        assertThat(Parameter.decays("model.norm.weight")).isFalse();
        assertThat(Parameter.decays("model.layers.0.q_norm.weight")).isFalse();
        assertThat(Parameter.decays("model.normal.weight")).isTrue();
    }

    @Test
    void countsBytesOfState() {
        OptimizerConfig eight = OptimizerConfig.of(OptimizerName.ADAMW_8BIT);
        assertThat(eight.stateBytes(4095, Dtype.FLOAT32)).isEqualTo(8 * 4095);
        assertThat(eight.stateBytes(4097, Dtype.BFLOAT16)).isEqualTo(2 * 4097 + 2 * 4 * 17 + 4 * 4097);
        assertThat(OptimizerConfig.of(OptimizerName.PAGED_ADAMW_32BIT).stateBytes(10, Dtype.BFLOAT16))
                .isEqualTo(120);
        assertThatThrownBy(() -> eight.withBetas(1.0, 0.9)).hasMessage("adam_beta1 must be in [0, 1), got 1.0");
    }
}
