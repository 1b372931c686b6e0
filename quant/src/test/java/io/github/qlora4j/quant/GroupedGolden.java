package io.github.qlora4j.quant;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.internal.StrictJson;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.safetensors.SafetensorsFile;
import io.github.qlora4j.quant.safetensors.SafetensorsWriter;
import io.github.qlora4j.quant.torch.Torch;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What scripts/golden/grouped.py wrote, and model directories of it. */
final class GroupedGolden {

    static final Path ROOT = Path.of("src/test/resources/golden/grouped");

    private GroupedGolden() {}

    static List<JsonObject> cases(String scheme) {
        return StrictJson.readObject(ROOT.resolve(scheme + ".json")).getAsJsonArray("cases").asList().stream()
                .map(JsonElement::getAsJsonObject)
                .toList();
    }

    static NDArray tensor(NDManager manager, String scheme, String name) {
        try (SafetensorsFile file = SafetensorsFile.open(ROOT.resolve(scheme + ".safetensors"))) {
            return file.read(manager, name);
        }
    }

    /** The parts of a case's weight under the names of a module. */
    static Map<String, NDArray> parts(NDManager manager, String scheme, int seed, String module) {
        Map<String, NDArray> parts = new LinkedHashMap<>();
        try (SafetensorsFile file = SafetensorsFile.open(ROOT.resolve(scheme + ".safetensors"))) {
            for (String name : file.tensors().keySet()) {
                if (name.startsWith("case" + seed + ".")) {
                    parts.put(module + name.substring(name.indexOf('.')), file.read(manager, name));
                }
            }
        }
        return parts;
    }

    static ModelDirectory directory(Path dir, Map<String, NDArray> tensors) {
        SafetensorsWriter.writeAll(dir.resolve("model.safetensors"), Map.of(), tensors);
        return ModelDirectory.open(dir);
    }

    static String text(JsonObject object, String key) {
        return object.get(key).getAsString();
    }

    static int number(JsonObject object, String key) {
        return object.get(key).getAsInt();
    }

    static boolean flag(JsonObject object, String key) {
        return object.get(key).getAsBoolean();
    }

    static byte[] bytes(NDArray tensor) {
        byte[] bytes = new byte[(int) Torch.byteSize(tensor)];
        Torch.bytes(tensor, 0, bytes.length).get(bytes);
        return bytes;
    }

    static String sha(NDArray tensor) {
        return GoldenInputs.sha256(Torch.bytes(tensor, 0, Torch.byteSize(tensor)));
    }
}
