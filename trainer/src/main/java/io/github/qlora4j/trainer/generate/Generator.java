package io.github.qlora4j.trainer.generate;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.model.CachedDecoder;
import io.github.qlora4j.trainer.model.KvCache;
import java.util.Arrays;
import java.util.Set;
import java.util.function.IntPredicate;

/** Continues a row of tokens, one at a time, with a cache. It borrows the decoder; for one thread at a time. */
public final class Generator {

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
        try (KvCache cache = decoder.newCache()) {
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
        Sampler sampler = new Sampler(sampling, seen);
        int[] output = new int[Math.min(maxNewTokens, 1024)];
        int count = 0;
        boolean stopped = false;
        int[] next = prompt;
        long start = System.nanoTime();
        long first = start;
        try (NDManager manager = Torch.newManager()) {
            while (count < maxNewTokens && !stopped) {
                int token;
                try (NDArray logits = decoder.next(manager, next, cache)) {
                    token = sample(sampler, Torch.toFloats(logits));
                }
                if (count == output.length) {
                    output = Arrays.copyOf(output, (int) Math.min(maxNewTokens, 2L * count));
                }
                output[count++] = token;
                if (count == 1) {
                    first = System.nanoTime();
                }
                stopped = stopIds.contains(token);
                if (!onToken.test(token)) {
                    break;
                }
                next = new int[] {token};
            }
        }
        return new Output(Arrays.copyOf(output, count), stopped, (System.nanoTime() - first) / 1e9);
    }

    private int sample(Sampler sampler, float[] logits) {
        try {
            return sampler.next(logits);
        } catch (QloraException e) {
            throw new QloraException(e.getMessage() + ": " + decoder.decoder().whyNotFinite(), e);
        }
    }
}
