package io.github.qlora4j.trainer.calibrate;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.AwqConfig;
import io.github.qlora4j.quant.GptqConfig;
import io.github.qlora4j.quant.safetensors.TensorSpec;
import java.util.List;
import java.util.Map;

/** How a block's linear layers are quantized from what they get to see. */
public abstract sealed class CalibrationMethod permits GptqMethod, AwqMethod {

    CalibrationMethod() {}

    /** GPTQ; what is not symmetric is stored as {@code gptq_v2}, since {@code gptq} cannot hold a zero point of 0. */
    public static CalibrationMethod gptq(GptqConfig config) {
        return new GptqMethod(config);
    }

    /** AWQ with scales and clipping. */
    public static CalibrationMethod awq(AwqConfig config) {
        return new AwqMethod(config);
    }

    /** The tensors that stand for a module's weight {@code [out, in]}. */
    abstract List<TensorSpec> specs(String module, long out, long in);

    /** What {@code config.json} says of them. */
    abstract JsonObject quantizationConfig();

    /**
     * Quantizes a block and takes the texts through it.
     *
     * @param chunks the texts before the block; their states are replaced by those behind it
     * @param prefix of the block's tensors, {@code model.layers.0.}
     * @return the weights' tensors by full name, as {@link #specs} has them, owned by {@code manager}; norms and biases
     *     stay in the block
     */
    abstract Map<String, NDArray> quantize(
            NDManager manager, CalibrationBlock block, List<CalibrationBlock.Chunk> chunks, String prefix);
}
