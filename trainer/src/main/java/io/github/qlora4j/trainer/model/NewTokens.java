package io.github.qlora4j.trainer.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.torch.Dtype;
import java.util.Arrays;
import java.util.List;

/**
 * Tokens that come behind those in caches.
 *
 * @param each whether each is of a row of its own; else all are of one row
 */
record NewTokens(int[] inputIds, List<KvCache> caches, boolean each) {

    /** The tokens in each cache. */
    long[] past() {
        return caches.stream().mapToLong(KvCache::length).toArray();
    }

    List<NDArray> keys(int layer) {
        return caches.stream().map(cache -> cache.keys(layer)).toList();
    }

    List<NDArray> values(int layer) {
        return caches.stream().map(cache -> cache.values(layer)).toList();
    }

    Rope.Angles angles(NDManager manager, Rope rope, Dtype dtype) {
        int[] positions = new int[inputIds.length];
        int[] lengths = new int[inputIds.length];
        if (each) {
            Arrays.setAll(positions, i -> caches.get(i).length());
            Arrays.setAll(lengths, i -> positions[i] + 1);
        } else {
            int past = caches.get(0).length();
            Arrays.setAll(positions, i -> past + i);
            Arrays.fill(lengths, past + inputIds.length);
        }
        return rope.at(manager, positions, lengths, dtype);
    }
}
