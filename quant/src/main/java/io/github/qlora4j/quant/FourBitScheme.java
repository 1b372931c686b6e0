package io.github.qlora4j.quant;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.torch.Dtype;

/**
 * bitsandbytes' 4 bits: {@code --method bnb-4bit}.
 *
 * @param config how matrices are quantized
 * @param compute the dtype of their products, for {@code config.json}
 * @param kernel who quantizes
 */
public record FourBitScheme(FourBitConfig config, Dtype compute, Kernel kernel) implements MatrixQuantizer {

    /** More than the code tables and the state's JSON take. */
    private static final long TABLES = 2048;

    @Override
    public FourBitWeight quantize(NDArray matrix) {
        return FourBitWeight.quantize(matrix, config, kernel);
    }

    @Override
    public Stored quantize(NDManager manager, String name, NDArray matrix) {
        FourBitWeight weight = quantize(matrix);
        return new Stored(weight, FourBitCheckpoint.tensors(manager, name, weight));
    }

    @Override
    public long bytes(long elements, long rows) {
        return config.bytes(elements) + TABLES;
    }

    @Override
    public JsonObject quantizationConfig() {
        return FourBitCheckpoint.quantizationConfig(config, compute);
    }
}
