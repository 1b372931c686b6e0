package io.github.qlora4j.peft;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.FourBitWeight;
import io.github.qlora4j.quant.Kernel;
import io.github.qlora4j.quant.Scratch;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;

/**
 * Quantizes a weight to four bits and back, as it stood in front of the adapter in training.
 *
 * @param config how it was quantized
 * @param modelDtype what the base was cast to before it was quantized
 * @param compute the dtype that training dequantized to; float32 for code × absmax unrounded
 * @param kernel what does the work, from {@code Kernels.choose}
 */
public record FourBitRoundTrip(FourBitConfig config, Dtype modelDtype, Dtype compute, Kernel kernel)
        implements MergedModel.RoundTrip {

    @Override
    public NDArray apply(NDManager manager, String name, NDArray weight) {
        try (NDArray cast = Torch.cast(manager, weight, modelDtype);
                FourBitWeight packed = FourBitWeight.quantize(cast, config, kernel);
                Scratch scratch = new Scratch()) {
            return Torch.copy(manager, packed.dense(compute, scratch));
        }
    }
}
