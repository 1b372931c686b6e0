package io.github.qlora4j.quant.torch;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ai.djl.engine.EngineException;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class TorchTest {

    private NDManager manager;

    @BeforeEach
    void open() {
        manager = Torch.newManager();
    }

    @AfterEach
    void close() {
        manager.close();
    }

    @ParameterizedTest
    @EnumSource(Dtype.class)
    void makesZerosOfEveryType(Dtype dtype) {
        NDArray zeros = Torch.zeros(manager, dtype, 2, 3);
        assertThat(Torch.dtype(zeros)).isEqualTo(dtype);
        assertThat(Torch.shape(zeros)).containsExactly(2, 3);
        assertThat(Torch.byteSize(zeros)).isEqualTo(6L * dtype.bytes());
        assertThat(Torch.toFloats(zeros)).containsOnly(0f);
    }

    @Test
    void castsToBfloat16WithRoundingToNearestEven() {
        NDArray x = Torch.ofFloats(manager, new float[] {1f, 1.00390625f, 1.01171875f, -3.14159f}, 4);
        NDArray y = Torch.cast(manager, x, Dtype.BFLOAT16);
        assertThat(Torch.dtype(y)).isEqualTo(Dtype.BFLOAT16);
        assertThat(Torch.toFloats(y)).containsExactly(1f, 1f, 1.015625f, -3.140625f);
    }

    @Test
    void viewsATensorsOwnMemory() {
        NDArray x = Torch.zeros(manager, Dtype.BFLOAT16, 4, 2);
        Torch.bytes(x, 4, 4).putShort(0, (short) 0x3f80);
        assertThat(Torch.toFloats(x)).containsExactly(0f, 0f, 1f, 0f, 0f, 0f, 0f, 0f);
        assertThat(Torch.address(x)).isNotZero();
        assertThatThrownBy(() -> Torch.bytes(x, 0, 17)).hasMessageContaining("bytes 0 to 17 of a tensor of 16 bytes");
    }

    @Test
    void wrapsForeignMemoryWithoutACopy() {
        ByteBuffer memory = ByteBuffer.allocateDirect(8).order(ByteOrder.LITTLE_ENDIAN);
        NDArray x = Torch.wrap(manager, memory, Dtype.BFLOAT16, 2, 2);
        memory.putShort(6, (short) 0x4000);
        assertThat(Torch.dtype(x)).isEqualTo(Dtype.BFLOAT16);
        assertThat(Torch.toFloats(x)).containsExactly(0f, 0f, 0f, 2f);
    }

    @Test
    void runsScriptsThatCallEachOtherAndDifferentiate() {
        TorchScript script = TorchScript.compile("test", """
                def square(x: Tensor) -> Tensor:
                  return torch.mul(x, x)

                def slope(x: Tensor, others: List[Tensor], factor: float,
                          flag: bool) -> Tuple[Tensor, Tensor]:
                  was = torch.is_grad_enabled()
                  torch.set_grad_enabled(True)
                  a = torch.requires_grad_(torch.detach(x))
                  y = torch.mul(square(a), factor)
                  if flag:
                    y = torch.add(y, others[0])
                  seed = annotate(List[Optional[Tensor]], [torch.ones_like(y)])
                  g = torch.autograd.grad([y], [a], seed)[0]
                  torch.set_grad_enabled(was)
                  return (torch.detach(y), unchecked_cast(Tensor, g))
                """);
        NDArray x = Torch.ofFloats(manager, new float[] {1, 2, 3}, 3);
        NDList result = script.tensors(manager, "slope", x, List.of(x), 0.5, true);
        assertThat(Torch.toFloats(result.get(0))).containsExactly(1.5f, 4f, 7.5f);
        assertThat(Torch.toFloats(result.get(1))).containsExactly(1f, 2f, 3f);
        assertThatThrownBy(() ->
                        script.tensors(manager, "slope", x, List.of(Torch.zeros(manager, Dtype.FLOAT32, 2)), 1.0, true))
                .isInstanceOf(EngineException.class);
    }

    @ParameterizedTest
    @EnumSource(names = {"FLOAT32", "FLOAT16", "BFLOAT16", "FLOAT64"})
    void tellsWhetherAllIsFinite(Dtype dtype) {
        float[] values = new float[100];
        for (float odd : new float[] {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY}) {
            values[70] = 3;
            assertThat(Torch.isFinite(Torch.cast(manager, Torch.ofFloats(manager, values, 10, 10), dtype)))
                    .isTrue();
            values[70] = odd;
            assertThat(Torch.isFinite(Torch.cast(manager, Torch.ofFloats(manager, values, 10, 10), dtype)))
                    .isFalse();
        }
        assertThat(Torch.isFinite(Torch.empty(manager, dtype, 0, 3))).isTrue();
        assertThat(Torch.isFinite(Torch.ofInts(manager, new int[] {1}, 1))).isTrue();
    }

    @Test
    void leavesNoArrayBehind() {
        int before = manager.getManagedArrays().size();
        NDArray x = Torch.zeros(manager, Dtype.BFLOAT16, 8, 8);
        for (int i = 0; i < 1000; i++) {
            Torch.bytes(x, 2, 4);
            Torch.toFloats(x);
            Torch.cast(manager, x, Dtype.FLOAT32).close();
        }
        assertThat(manager.getManagedArrays()).hasSize(before + 1);
    }
}
