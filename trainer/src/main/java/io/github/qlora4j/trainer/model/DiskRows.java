package io.github.qlora4j.trainer.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.safetensors.TensorInfo;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.nio.ByteBuffer;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Rows of an embedding table that lies on the disk, read one by one.
 *
 * @param files open as long as this is used
 * @param name the table's tensor
 * @param dtypes what a row is cast to, one after the other
 */
record DiskRows(ModelDirectory files, String name, List<Dtype> dtypes) {

    /**
     * The rows of tokens, {@code [tokens, width]}.
     *
     * @throws QloraException if a token has no row, or its row cannot be read
     */
    NDArray read(NDManager manager, int[] tokens) {
        TensorInfo info = files.info(name);
        long width = info.shape()[1];
        int bytes = Math.toIntExact(width * info.dtype().bytes());
        NDArray rows = Torch.empty(manager, info.dtype(), tokens.length, width);
        Map<Integer, Integer> first = new LinkedHashMap<>();
        for (int i = 0; i < tokens.length; i++) {
            if (tokens[i] < 0 || tokens[i] >= info.shape()[0]) {
                throw new QloraException("token id " + tokens[i] + "; the model's are 0 to " + (info.shape()[0] - 1));
            }
            ByteBuffer row = Torch.bytes(rows, (long) i * bytes, bytes);
            Integer same = first.putIfAbsent(tokens[i], i);
            if (same == null) {
                files.file(name).read(name, (long) tokens[i] * bytes, row);
            } else {
                row.put(Torch.bytes(rows, (long) same * bytes, bytes));
            }
        }
        NDArray result = rows;
        for (Dtype dtype : dtypes) {
            if (Torch.dtype(result) != dtype) {
                try (NDArray old = result) {
                    result = Torch.cast(manager, old, dtype);
                }
            }
        }
        return result;
    }
}
