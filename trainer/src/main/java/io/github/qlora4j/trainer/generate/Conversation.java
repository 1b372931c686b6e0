package io.github.qlora4j.trainer.generate;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.trainer.data.Row;
import io.github.qlora4j.trainer.model.KvCache;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;

/**
 * Questions and answers that build on one another.
 *
 * <p>Keys and values of earlier turns are kept as far as the tokens are the same. It borrows the model; the caller closes
 * it. For one thread.
 */
public final class Conversation implements AutoCloseable {

    private final LanguageModel model;
    private final Sampling sampling;
    private final int maxNewTokens;
    private final KvCache cache;
    private final List<Row.Turn> history = new ArrayList<>();
    private int[] cached = new int[0];

    Conversation(LanguageModel model, Sampling sampling, int maxNewTokens) {
        if (!model.hasTemplate()) {
            model.requireTokenizer();
            throw new QloraException(
                    "a conversation needs a template, and nothing names one: give human_assistant or" + " alpaca");
        }
        this.model = model;
        this.sampling = sampling;
        this.maxNewTokens = maxNewTokens;
        this.cache = model.newCache();
    }

    /** Answers the next question; turns before it are part of the prompt. */
    public Reply ask(String question, Consumer<String> listener) {
        int[] prompt = model.encode(Prompt.question(question, "", history));
        int same = Arrays.mismatch(prompt, cached);
        // the last token of the prompt is computed anew: its logits are wanted
        int kept = Math.min(same < 0 ? prompt.length : same, prompt.length - 1);
        cache.cutBackTo(Math.max(0, Math.min(kept, cache.length())));
        cached = new int[0];
        int[] fresh = Arrays.copyOfRange(prompt, cache.length(), prompt.length);
        Reply reply = model.generate(cache, fresh, prompt, sampling, maxNewTokens, listener);
        int[] output = reply.outputIds();
        cached = Arrays.copyOf(prompt, cache.length());
        System.arraycopy(output, 0, cached, prompt.length, cache.length() - prompt.length);
        history.add(new Row.Turn(question, reply.text()));
        return reply;
    }

    /** The turns so far, oldest first. */
    public List<Row.Turn> history() {
        return List.copyOf(history);
    }

    /** Tokens whose keys and values are kept. */
    int cachedTokens() {
        return cached.length;
    }

    /** Forgets all turns. */
    public void clear() {
        history.clear();
    }

    @Override
    public void close() {
        cache.close();
    }
}
