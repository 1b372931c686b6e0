package io.github.qlora4j.quant.torch;

import ai.djl.ndarray.NDArray;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.jni.IValue;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Named tensors as TorchScript takes them, made once for many calls.
 *
 * <p>The tensors stay their owner's, and must be open as long as this is used. Closing it frees the map alone.
 */
public final class TensorMap implements AutoCloseable {

    private final IValue value;

    /** Of these tensors as they are now; the map may change afterwards. */
    public TensorMap(Map<String, NDArray> tensors) {
        this.value = value(tensors);
    }

    static IValue value(Map<?, ?> map) {
        Map<String, PtNDArray> tensors = new LinkedHashMap<>();
        map.forEach((key, tensor) -> tensors.put((String) key, (PtNDArray) tensor));
        return IValue.stringMapFrom(tensors);
    }

    IValue value() {
        return value;
    }

    @Override
    public void close() {
        value.close();
    }
}
