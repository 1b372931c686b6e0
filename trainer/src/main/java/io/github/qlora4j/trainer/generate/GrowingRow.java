package io.github.qlora4j.trainer.generate;

import io.github.qlora4j.trainer.model.KvCache;
import java.util.Arrays;
import java.util.Set;

/** A row on its way: its cache, how its tokens are chosen, and those that it has got. */
final class GrowingRow {

    private final KvCache cache;
    private final Sampler sampler;
    private final int limit;
    private final Set<Integer> stopIds;
    private int[] output;
    private int count;
    private boolean stopped;
    private long firstAt;
    private long lastAt;

    /** It borrows the cache. */
    GrowingRow(KvCache cache, Sampler sampler, int limit, Set<Integer> stopIds) {
        this.cache = cache;
        this.sampler = sampler;
        this.limit = limit;
        this.stopIds = stopIds;
        this.output = new int[Math.min(limit, 1024)];
    }

    KvCache cache() {
        return cache;
    }

    /** Chooses the next token; the logits are changed. */
    void add(float[] logits) {
        int token = sampler.next(logits);
        if (count == output.length) {
            output = Arrays.copyOf(output, (int) Math.min(limit, 2L * count));
        }
        output[count++] = token;
        stopped = stopIds.contains(token);
        lastAt = System.nanoTime();
        if (count == 1) {
            firstAt = lastAt;
        }
    }

    int last() {
        return output[count - 1];
    }

    /** Whether a stop token or the limit has ended it. */
    boolean ended() {
        return stopped || count == limit;
    }

    Generator.Output output() {
        return new Generator.Output(Arrays.copyOf(output, count), stopped, (lastAt - firstAt) / 1e9);
    }
}
