package io.github.qlora4j.trainer.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.quant.torch.TorchScript;
import java.util.ArrayList;
import java.util.List;

/**
 * The keys and values of the tokens of one row that a decoder has seen, {@code [num_key_value_heads, capacity,
 * head_dim]} a layer. It grows by doubling
 * where more come than it was made for; the caller closes it.
 */
public final class KvCache implements AutoCloseable {

    static final int FIRST_CAPACITY = 256;
    private static final TorchScript SCRIPT = TorchScript.compile("cache", """
            def grown(x: Tensor, capacity: int) -> Tensor:
              y = torch.zeros([torch.size(x, 0), capacity, torch.size(x, 2)], dtype=ops.prim.dtype(x))
              torch.copy_(torch.slice(y, 1, 0, torch.size(x, 1)), x)
              return y
            """);

    private final NDManager manager = Torch.newManager();
    private final List<NDArray> keys = new ArrayList<>();
    private final List<NDArray> values = new ArrayList<>();
    private int capacity;
    private int length;

    KvCache(ModelConfig config, Dtype dtype, int capacity) {
        this.capacity = capacity;
        for (int i = 0; i < config.numHiddenLayers(); i++) {
            keys.add(Torch.zeros(manager, dtype, config.numKeyValueHeads(), capacity, config.headDim()));
            values.add(Torch.zeros(manager, dtype, config.numKeyValueHeads(), capacity, config.headDim()));
        }
    }

    /** The tokens seen. */
    public int length() {
        return length;
    }

    /** Forgets the tokens from {@code length} on. */
    public void cutBackTo(int length) {
        if (length < 0 || length > this.length) {
            throw new IllegalArgumentException("must be 0 to " + this.length + ": length=" + length);
        }
        this.length = length;
    }

    void reserve(int tokens) {
        int needed = Math.addExact(length, tokens);
        if (needed <= capacity) {
            return;
        }
        capacity = Math.max(needed, (int) Math.min(Integer.MAX_VALUE - 8L, 2L * capacity));
        keys.replaceAll(this::grown);
        values.replaceAll(this::grown);
    }

    private NDArray grown(NDArray old) {
        try (old) {
            return SCRIPT.tensor(manager, "grown", old, capacity);
        }
    }

    void grow(int tokens) {
        length += tokens;
    }

    NDArray keys(int layer) {
        return keys.get(layer);
    }

    NDArray values(int layer) {
        return values.get(layer);
    }

    @Override
    public void close() {
        manager.close();
    }
}
