package io.github.qlora4j.trainer.optim;

import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.safetensors.SafetensorsFile;
import io.github.qlora4j.quant.torch.Torch;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/** The bytes of parameters and saved state, by name. */
final class SavedState {

    private SavedState() {}

    static Map<String, byte[]> of(Optimizer optimizer, Path directory) {
        Path file = directory.resolve("optimizer.safetensors");
        optimizer.save(file);
        Map<String, byte[]> bytes = new LinkedHashMap<>();
        optimizer.parameters().forEach(p -> bytes.put(p.name(), Golden.bytes(p.value())));
        try (SafetensorsFile saved = SafetensorsFile.open(file);
                NDManager manager = Torch.newManager()) {
            saved.tensors().keySet().forEach(name -> bytes.put(name, Golden.bytes(saved.read(manager, name))));
        }
        return bytes;
    }

    /** Short hashes of {@link #of}, which read well in a failed test. */
    static Map<String, String> hashes(Optimizer optimizer, Path directory) {
        Map<String, String> hashes = new LinkedHashMap<>();
        of(optimizer, directory).forEach((name, bytes) -> hashes.put(name, Golden.hash(bytes)));
        return hashes;
    }
}
