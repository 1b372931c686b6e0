package io.github.qlora4j.trainer.optim;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.optim.Optimizer.StateTensor;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;

/** An optimizer's state as bytes in memory. */
final class SavedState implements Optimizer.StateSource {

    final Map<String, byte[]> bytes = new LinkedHashMap<>();
    final Map<String, StateTensor> tensors = new HashMap<>();
    final Map<String, String> metadata = new HashMap<>();

    static SavedState of(Optimizer optimizer) {
        SavedState saved = new SavedState();
        optimizer.stateTensors().forEach(t -> saved.tensors.put(t.name(), t));
        optimizer.save((name, tensor) -> saved.bytes.put(name, Golden.bytes(tensor)));
        saved.metadata.putAll(optimizer.stateMetadata());
        return saved;
    }

    @Override
    public String where() {
        return "checkpoint-7/optimizer.safetensors";
    }

    @Override
    public Map<String, String> metadata() {
        return metadata;
    }

    @Override
    public StateTensor find(String name) {
        return tensors.get(name);
    }

    @Override
    public NDArray read(NDManager manager, String name) {
        StateTensor info = tensors.get(name);
        NDArray tensor = Torch.empty(manager, info.dtype(), info.shape());
        byte[] content = bytes.get(name);
        Torch.bytes(tensor, 0, content.length).put(content);
        return tensor;
    }
}
