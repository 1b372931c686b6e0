package io.github.qlora4j.trainer.generate;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.model.CachedDecoder;
import io.github.qlora4j.trainer.model.KvCache;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.function.BooleanSupplier;
import java.util.function.IntPredicate;

/** Continues rows of tokens, one at a time, with a cache. It borrows the decoder; for one thread at a time. */
public final class Generator {

    private static final int LONGEST_EXPECTED = 1024;

    private final CachedDecoder decoder;

    /** A generator on a decoder. */
    public Generator(CachedDecoder decoder) {
        this.decoder = decoder;
    }

    /**
     * What was generated.
     *
     * @param outputIds without the prompt; the stop token included where one ended it
     * @param stopped a stop token ended it, not the limit
     * @param decodeSeconds time of all tokens but the first, which the prompt's own pass gives
     */
    public record Output(int[] outputIds, boolean stopped, double decodeSeconds) {

        /** Tokens a second after the prompt's own pass; 0 where there were fewer than two. */
        public double tokensPerSecond() {
            return outputIds.length > 1 && decodeSeconds > 0 ? (outputIds.length - 1) / decodeSeconds : 0;
        }
    }

    /** Continues a prompt; see {@link #generate(KvCache, int[], int[], int, Sampling, Set, IntPredicate)}. */
    public Output generate(
            int[] prompt, int maxNewTokens, Sampling sampling, Set<Integer> stopIds, IntPredicate onToken) {
        try (KvCache cache = newCache(prompt.length, maxNewTokens)) {
            return generate(cache, prompt, prompt, maxNewTokens, sampling, stopIds, onToken);
        }
    }

    /**
     * Continues what is in a cache by a prompt, and then by generated tokens. Afterwards the cache holds all of them but
     * the last.
     *
     * @param prompt new tokens, at least one
     * @param seen tokens that the repetition penalty counts
     * @param onToken gets each token as it comes; false stops
     * @throws QloraException if the prompt is empty or has an id that the model does not have
     */
    public Output generate(
            KvCache cache,
            int[] prompt,
            int[] seen,
            int maxNewTokens,
            Sampling sampling,
            Set<Integer> stopIds,
            IntPredicate onToken) {
        check(prompt);
        GrowingRow row = new GrowingRow(cache, new Sampler(sampling, seen), maxNewTokens, stopIds);
        try (NDManager manager = Torch.newManager()) {
            begin(manager, row, prompt);
            while (onToken.test(row.last()) && !row.ended()) {
                try (NDArray logits = decoder.next(manager, new int[] {row.last()}, cache)) {
                    add(row, Torch.toFloats(logits));
                }
            }
        }
        return row.output();
    }

    /**
     * Continues several prompts together, a token of each at a time, which costs less than one after another. Each row is
     * chosen as it would be alone; sums over rows side by side may be rounded otherwise.
     *
     * @param cancelled asked before each token of all; true ends them as they are
     * @return in the order of the prompts
     * @throws QloraException if a prompt is empty or has an id that the model does not have
     */
    public List<Output> generateEach(
            List<int[]> prompts, int maxNewTokens, Sampling sampling, Set<Integer> stopIds, BooleanSupplier cancelled) {
        prompts.forEach(this::check);
        List<GrowingRow> rows = new ArrayList<>();
        try (NDManager manager = Torch.newManager()) {
            for (int[] prompt : prompts) {
                rows.add(new GrowingRow(
                        newCache(prompt.length, maxNewTokens), new Sampler(sampling, prompt), maxNewTokens, stopIds));
                begin(manager, rows.get(rows.size() - 1), prompt);
            }
            List<GrowingRow> growing = rows;
            while (true) {
                growing = growing.stream().filter(row -> !row.ended()).toList();
                if (cancelled.getAsBoolean() || growing.isEmpty()) {
                    return rows.stream().map(GrowingRow::output).toList();
                }
                int[] tokens = growing.stream().mapToInt(GrowingRow::last).toArray();
                try (NDArray logits = decoder.nextOfEach(
                        manager, tokens, growing.stream().map(GrowingRow::cache).toList())) {
                    float[] all = Torch.toFloats(logits);
                    int vocabulary = all.length / tokens.length;
                    for (int i = 0; i < tokens.length; i++) {
                        add(growing.get(i), Arrays.copyOfRange(all, i * vocabulary, (i + 1) * vocabulary));
                    }
                }
            }
        } finally {
            rows.forEach(row -> row.cache().close());
        }
    }

    /** A cache that need not grow, unless the limit is there for safety alone; the caller closes it. */
    KvCache newCache(int promptTokens, int maxNewTokens) {
        return decoder.newCache(promptTokens + Math.min(maxNewTokens, LONGEST_EXPECTED));
    }

    private void check(int[] prompt) {
        if (prompt.length == 0) {
            throw new QloraException("the prompt has no token: there is nothing to continue");
        }
        int vocabulary = decoder.decoder().base().config().vocabSize();
        for (int id : prompt) {
            if (id < 0 || id >= vocabulary) {
                throw new QloraException(
                        "the prompt has token " + id + "; the model's tokens are 0 to " + (vocabulary - 1));
            }
        }
    }

    private void begin(NDManager manager, GrowingRow row, int[] prompt) {
        try (NDArray logits = decoder.next(manager, prompt, row.cache())) {
            add(row, Torch.toFloats(logits));
        }
    }

    private void add(GrowingRow row, float[] logits) {
        try {
            row.add(logits);
        } catch (QloraException e) {
            throw new QloraException(e.getMessage() + ": " + decoder.decoder().whyNotFinite(), e);
        }
    }
}
