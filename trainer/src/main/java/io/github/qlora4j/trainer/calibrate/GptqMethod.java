package io.github.qlora4j.trainer.calibrate;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.GptqCheckpoint;
import io.github.qlora4j.quant.GptqConfig;
import io.github.qlora4j.quant.GptqFormat;
import io.github.qlora4j.quant.GptqSolver;
import io.github.qlora4j.quant.GptqWeight;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.Scratch;
import io.github.qlora4j.quant.safetensors.TensorSpec;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * GPTQ through a block: the layers that share an input at a time, each with the inputs that the quantized layers before
 * it leave ({@code true_sequential} of auto-gptq).
 */
final class GptqMethod extends CalibrationMethod {

    private final GptqConfig config;
    private final GptqCheckpoint checkpoint;

    GptqMethod(GptqConfig config) {
        this.config = config;
        checkpoint = new GptqCheckpoint(config, config.sym() ? GptqFormat.GPTQ : GptqFormat.GPTQ_V2);
    }

    @Override
    List<TensorSpec> specs(String module, long out, long in) {
        return checkpoint.specs(module, out, in);
    }

    @Override
    JsonObject quantizationConfig() {
        return checkpoint.quantizationConfig();
    }

    /** Makes the inputs of layers from a chunk's state. */
    private interface Inputs {
        NDArray of(NDManager pass, CalibrationBlock.Chunk chunk);
    }

    @Override
    Map<String, NDArray> quantize(
            NDManager manager, CalibrationBlock block, List<CalibrationBlock.Chunk> chunks, String prefix) {
        Map<String, NDArray> tensors = new LinkedHashMap<>();
        Solving solving = new Solving(manager, block, chunks, prefix, tensors);
        solving.solve(
                List.of(CalibrationBlock.Q, CalibrationBlock.K, CalibrationBlock.V),
                (pass, chunk) -> block.norm(pass, chunk.x(), CalibrationBlock.INPUT_NORM));
        solving.solve(List.of(CalibrationBlock.O), (pass, chunk) -> attention(pass, block, chunk));
        replaceStates(
                chunks,
                (pass, chunk) -> CalibrationBlock.plus(
                        pass, chunk.x(), block.linear(pass, attention(pass, block, chunk), CalibrationBlock.O)));
        solving.solve(
                List.of(CalibrationBlock.GATE, CalibrationBlock.UP),
                (pass, chunk) -> block.norm(pass, chunk.x(), CalibrationBlock.POST_NORM));
        solving.solve(List.of(CalibrationBlock.DOWN), (pass, chunk) -> gated(pass, block, chunk));
        replaceStates(
                chunks,
                (pass, chunk) -> CalibrationBlock.plus(
                        pass, chunk.x(), block.linear(pass, gated(pass, block, chunk), CalibrationBlock.DOWN)));
        return tensors;
    }

    private static NDArray attention(NDManager pass, CalibrationBlock block, CalibrationBlock.Chunk chunk) {
        return block.attention(
                pass,
                chunk,
                block.weight(CalibrationBlock.Q),
                block.weight(CalibrationBlock.K),
                block.weight(CalibrationBlock.V));
    }

    private static NDArray gated(NDManager pass, CalibrationBlock block, CalibrationBlock.Chunk chunk) {
        NDArray n = block.norm(pass, chunk.x(), CalibrationBlock.POST_NORM);
        return block.gated(
                pass, block.linear(pass, n, CalibrationBlock.GATE), block.linear(pass, n, CalibrationBlock.UP));
    }

    private static void replaceStates(List<CalibrationBlock.Chunk> chunks, Inputs next) {
        for (CalibrationBlock.Chunk chunk : chunks) {
            try (NDManager pass = Torch.newManager()) {
                Torch.assign(chunk.x(), next.of(pass, chunk));
            }
        }
    }

    /** Quantizes layers of one block, and leaves their dequantized weights in it. */
    private final class Solving {

        private final NDManager manager;
        private final CalibrationBlock block;
        private final List<CalibrationBlock.Chunk> chunks;
        private final String prefix;
        private final Map<String, NDArray> tensors;

        Solving(
                NDManager manager,
                CalibrationBlock block,
                List<CalibrationBlock.Chunk> chunks,
                String prefix,
                Map<String, NDArray> tensors) {
            this.manager = manager;
            this.block = block;
            this.chunks = chunks;
            this.prefix = prefix;
            this.tensors = tensors;
        }

        void solve(List<String> linears, Inputs inputs) {
            long in = block.weight(linears.get(0)).getShape().get(1);
            try (GptqSolver solver = new GptqSolver(in)) {
                for (CalibrationBlock.Chunk chunk : chunks) {
                    try (NDManager pass = Torch.newManager()) {
                        solver.add(inputs.of(pass, chunk), chunk.rows().rows());
                    }
                }
                for (String linear : linears) {
                    solve(solver, linear);
                }
            }
        }

        private void solve(GptqSolver solver, String linear) {
            try (GptqWeight weight = solver.solve(block.weight(linear), config, Dtype.FLOAT16);
                    Scratch scratch = new Scratch()) {
                tensors.putAll(checkpoint.tensors(manager, prefix + linear, weight));
                block.replace(linear + ".weight", Torch.copy(manager, weight.dense(Dtype.FLOAT32, scratch)));
            } catch (QloraException e) {
                throw new QloraException(prefix + linear + ": " + e.getMessage(), e);
            }
        }
    }
}
