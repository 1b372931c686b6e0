package io.github.qlora4j.peft;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.Int8Weight;
import io.github.qlora4j.quant.Scratch;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;

/**
 * Quantizes a weight by LLM.int8() and back, as it stood in front of the adapter in training.
 *
 * @param modelDtype what the base was cast to before it was quantized
 * @param compute the dtype of the activations in training, in which the weight was worked out
 */
public record Int8RoundTrip(Dtype modelDtype, Dtype compute) implements MergedModel.RoundTrip {

    @Override
    public NDArray apply(NDManager manager, String name, NDArray weight) {
        try (NDArray cast = Torch.cast(manager, weight, modelDtype);
                Int8Weight rows = Int8Weight.quantize(cast, Int8Weight.DEFAULT_THRESHOLD);
                Scratch scratch = new Scratch()) {
            return Torch.copy(manager, rows.dense(compute, scratch));
        }
    }
}
