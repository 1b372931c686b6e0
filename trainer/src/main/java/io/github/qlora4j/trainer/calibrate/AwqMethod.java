package io.github.qlora4j.trainer.calibrate;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.AwqCheckpoint;
import io.github.qlora4j.quant.AwqConfig;
import io.github.qlora4j.quant.AwqSearch;
import io.github.qlora4j.quant.AwqWeight;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.safetensors.TensorSpec;
import io.github.qlora4j.quant.torch.Torch;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * AWQ through a block as autoawq 0.2.9 goes ({@code get_layers_for_scaling} of its models/llama.py): scales are searched
 * on the block as it is, then applied, then weights are clipped and quantized. The next block sees what the block gave
 * before it was quantized.
 */
final class AwqMethod extends CalibrationMethod {

    private final AwqConfig config;
    private final AwqSearch search;
    private final AwqCheckpoint checkpoint;

    AwqMethod(AwqConfig config) {
        this.config = config;
        search = new AwqSearch(config);
        checkpoint = new AwqCheckpoint(config);
    }

    @Override
    List<TensorSpec> specs(String module, long out, long in) {
        return checkpoint.specs(module, out, in);
    }

    @Override
    JsonObject quantizationConfig() {
        return checkpoint.quantizationConfig(List.of());
    }

    /** What the layers of a block get to see, all texts together. */
    private record Seen(NDArray attention, NDArray output, NDArray mlp, NDArray down) {}

    @Override
    Map<String, NDArray> quantize(
            NDManager manager, CalibrationBlock block, List<CalibrationBlock.Chunk> chunks, String prefix) {
        Map<String, NDArray> tensors = new LinkedHashMap<>();
        try (NDManager pass = Torch.newManager()) {
            List<CalibrationBlock.Chunk> before = new ArrayList<>();
            for (CalibrationBlock.Chunk chunk : chunks) {
                before.add(new CalibrationBlock.Chunk(chunk.rows(), Torch.copy(pass, chunk.x())));
            }
            Seen seen = forward(pass, block, chunks);
            seen = scale(pass, block, before, seen);
            // not query and key: their product would have to be looked at
            clip(pass, block, CalibrationBlock.V, seen.attention());
            clip(pass, block, CalibrationBlock.O, seen.output());
            clip(pass, block, CalibrationBlock.GATE, seen.mlp());
            clip(pass, block, CalibrationBlock.UP, seen.mlp());
            clip(pass, block, CalibrationBlock.DOWN, seen.down());
        }
        for (String linear : List.of(
                CalibrationBlock.Q,
                CalibrationBlock.K,
                CalibrationBlock.V,
                CalibrationBlock.O,
                CalibrationBlock.GATE,
                CalibrationBlock.UP,
                CalibrationBlock.DOWN)) {
            try (AwqWeight weight = AwqWeight.quantize(block.weight(linear), config)) {
                tensors.putAll(checkpoint.tensors(manager, prefix + linear, weight));
            } catch (QloraException e) {
                throw new QloraException(prefix + linear + ": " + e.getMessage(), e);
            }
        }
        return tensors;
    }

    private void clip(NDManager pass, CalibrationBlock block, String linear, NDArray inputs) {
        block.replace(linear + ".weight", search.clipped(pass, block.weight(linear), inputs));
    }

    /** Takes the texts through the block and keeps what its layers see. */
    private static Seen forward(NDManager pass, CalibrationBlock block, List<CalibrationBlock.Chunk> chunks) {
        List<NDArray> attention = new ArrayList<>();
        List<NDArray> output = new ArrayList<>();
        List<NDArray> mlp = new ArrayList<>();
        List<NDArray> down = new ArrayList<>();
        for (CalibrationBlock.Chunk chunk : chunks) {
            attention.add(block.norm(pass, chunk.x(), CalibrationBlock.INPUT_NORM));
            NDArray o = block.attention(
                    pass,
                    chunk,
                    block.weight(CalibrationBlock.Q),
                    block.weight(CalibrationBlock.K),
                    block.weight(CalibrationBlock.V));
            output.add(o);
            try (NDManager step = Torch.newManager()) {
                NDArray h = CalibrationBlock.plus(step, chunk.x(), block.linear(step, o, CalibrationBlock.O));
                NDArray n = block.norm(pass, h, CalibrationBlock.POST_NORM);
                mlp.add(n);
                NDArray m = block.gated(
                        pass, block.linear(step, n, CalibrationBlock.GATE), block.linear(step, n, CalibrationBlock.UP));
                down.add(m);
                Torch.assign(chunk.x(), CalibrationBlock.plus(step, h, block.linear(step, m, CalibrationBlock.DOWN)));
            }
        }
        return new Seen(cat(pass, attention), cat(pass, output), cat(pass, mlp), cat(pass, down));
    }

    private static NDArray cat(NDManager pass, List<NDArray> parts) {
        NDArray all = CalibrationBlock.cat(pass, parts);
        parts.forEach(NDArray::close);
        return all;
    }

    /** Searches and applies the scales; what the layers see then. */
    private Seen scale(NDManager pass, CalibrationBlock block, List<CalibrationBlock.Chunk> before, Seen seen) {
        NDArray q = block.weight(CalibrationBlock.Q);
        NDArray k = block.weight(CalibrationBlock.K);
        NDArray v = block.weight(CalibrationBlock.V);
        NDArray o = block.weight(CalibrationBlock.O);
        NDArray gate = block.weight(CalibrationBlock.GATE);
        NDArray up = block.weight(CalibrationBlock.UP);
        NDArray down = block.weight(CalibrationBlock.DOWN);
        NDArray attention = search.scales(pass, List.of(q, k, v), seen.attention(), (m, w) -> {
            List<NDArray> results = new ArrayList<>();
            for (CalibrationBlock.Chunk chunk : before) {
                results.add(
                        block.linear(m, block.attention(m, chunk, w.get(0), w.get(1), w.get(2)), CalibrationBlock.O));
            }
            return CalibrationBlock.cat(m, results);
        });
        // under grouped-query attention a value's output meets several inputs of the next layer
        NDArray output = Arrays.equals(Torch.shape(v), Torch.shape(o))
                ? search.scales(
                        pass,
                        List.of(o),
                        seen.output(),
                        (m, w) -> block.linear(m, seen.output(), w.get(0), CalibrationBlock.O))
                : null;
        NDArray mlp = search.scales(
                pass,
                List.of(gate, up),
                seen.mlp(),
                (m, w) -> block.linear(
                        m,
                        block.gated(
                                m,
                                block.linear(m, seen.mlp(), w.get(0), CalibrationBlock.GATE),
                                block.linear(m, seen.mlp(), w.get(1), CalibrationBlock.UP)),
                        CalibrationBlock.DOWN));
        NDArray inner = search.scales(
                pass,
                List.of(down),
                seen.down(),
                (m, w) -> block.linear(m, seen.down(), w.get(0), CalibrationBlock.DOWN));
        apply(
                pass,
                block,
                attention,
                "input_layernorm",
                List.of(CalibrationBlock.Q, CalibrationBlock.K, CalibrationBlock.V));
        if (output != null) {
            apply(pass, block, output, CalibrationBlock.V, List.of(CalibrationBlock.O));
        }
        apply(pass, block, mlp, "post_attention_layernorm", List.of(CalibrationBlock.GATE, CalibrationBlock.UP));
        apply(pass, block, inner, CalibrationBlock.UP, List.of(CalibrationBlock.DOWN));
        return new Seen(
                AwqSearch.unscaleInputs(pass, seen.attention(), attention),
                output == null ? seen.output() : AwqSearch.unscaleInputs(pass, seen.output(), output),
                AwqSearch.unscaleInputs(pass, seen.mlp(), mlp),
                AwqSearch.unscaleInputs(pass, seen.down(), inner));
    }

    /** Divides what makes the inputs, and multiplies the layers that take them. */
    private static void apply(
            NDManager pass, CalibrationBlock block, NDArray scales, String maker, List<String> takers) {
        for (String part : List.of(maker + ".weight", maker + ".bias")) {
            if (block.get(part) != null) {
                block.replace(part, AwqSearch.unscaleResults(pass, block.get(part), scales));
            }
        }
        for (String taker : takers) {
            block.replace(taker + ".weight", AwqSearch.scaleInputs(pass, block.weight(taker), scales));
        }
    }
}
