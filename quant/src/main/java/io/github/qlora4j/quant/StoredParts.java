package io.github.qlora4j.quant;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.safetensors.TensorInfo;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.util.Arrays;
import java.util.Collection;
import java.util.Optional;

/** The tensors of one module's weight in a model's files, each checked as it is read; errors name the tensor. */
record StoredParts(ModelDirectory model, String module) {

    /** The module that a tensor belongs to, where its last name is one of the parts. */
    static Optional<String> moduleOf(String tensor, Collection<String> parts) {
        int dot = Math.max(0, tensor.lastIndexOf('.'));
        return parts.contains(tensor.substring(dot + 1)) ? Optional.of(tensor.substring(0, dot)) : Optional.empty();
    }

    QloraException error(String part, String problem) {
        String name = module + "." + part;
        return new QloraException(
                (model.has(name) ? model.fileOf(name) : model.path()) + ": tensor " + name + ": " + problem);
    }

    /** What a header says of a part that must be there. */
    TensorInfo info(String part) {
        String name = module + "." + part;
        if (!model.has(name)) {
            throw new QloraException(model.path() + ": tensor " + name + " is missing");
        }
        return model.info(name);
    }

    void expect(String part, Dtype dtype, long... shape) {
        TensorInfo info = info(part);
        if (info.dtype() != dtype || !Arrays.equals(info.shape(), shape)) {
            throw error(
                    part, dtype.torchName() + " " + Arrays.toString(shape) + " is expected, found " + described(info));
        }
    }

    void expectFloats(String part, long... shape) {
        TensorInfo info = info(part);
        boolean floats =
                info.dtype() == Dtype.FLOAT32 || info.dtype() == Dtype.FLOAT16 || info.dtype() == Dtype.BFLOAT16;
        if (!floats || !Arrays.equals(info.shape(), shape)) {
            throw error(
                    part,
                    "float16, bfloat16 or float32 " + Arrays.toString(shape) + " is expected, found "
                            + described(info));
        }
    }

    static String described(TensorInfo info) {
        return info.dtype().torchName() + " " + Arrays.toString(info.shape());
    }

    NDArray read(NDManager manager, String part) {
        return model.read(manager, module + "." + part);
    }

    /** Reads int32 {@code [n]}. */
    int[] readInts(String part) {
        try (NDManager manager = Torch.newManager()) {
            NDArray tensor = read(manager, part);
            int[] values = new int[Math.toIntExact(tensor.getShape().size())];
            Torch.bytes(tensor, 0, 4L * values.length).asIntBuffer().get(values);
            return values;
        }
    }

    /** Reads a matrix of finite floats. */
    NDArray readFinite(NDManager manager, String part) {
        NDArray tensor = read(manager, part);
        for (float value : Torch.toFloats(tensor)) {
            if (!Float.isFinite(value)) {
                throw error(part, "it holds " + value + "; the file is damaged");
            }
        }
        return tensor;
    }
}
