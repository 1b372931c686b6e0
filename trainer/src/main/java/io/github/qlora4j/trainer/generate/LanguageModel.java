package io.github.qlora4j.trainer.generate;

import ai.djl.inference.Predictor;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.peft.Adapter;
import io.github.qlora4j.peft.Bias;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.config.DataFormat;
import io.github.qlora4j.trainer.config.RunConfig;
import io.github.qlora4j.trainer.data.Example;
import io.github.qlora4j.trainer.data.PackedRows;
import io.github.qlora4j.trainer.data.RowEncoder;
import io.github.qlora4j.trainer.data.Template;
import io.github.qlora4j.trainer.model.BaseModel;
import io.github.qlora4j.trainer.model.BaseOptions;
import io.github.qlora4j.trainer.model.CachedDecoder;
import io.github.qlora4j.trainer.model.Decoder;
import io.github.qlora4j.trainer.model.KvCache;
import io.github.qlora4j.trainer.model.Modules;
import io.github.qlora4j.trainer.model.Trained;
import io.github.qlora4j.trainer.report.Rss;
import io.github.qlora4j.trainer.tokenizer.StreamingDecoder;
import io.github.qlora4j.trainer.tokenizer.Tokenizer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;

/**
 * A base, what was trained on it, and its tokenizer, opened together.
 *
 * <pre>{@code
 * try (LanguageModel model = LanguageModel.builder().setAdapter(Path.of("runs/llama")).build()) {
 *     System.out.println(model.generate("Name three colours."));
 * }
 * }</pre>
 *
 * <p>An adapter of 16 bits computes in float32, as peft's does outside training. Calls from several threads wait for one
 * another. Closing it frees the weights; conversations and predictors of it are closed before.
 */
public final class LanguageModel implements AutoCloseable {

    /** New tokens at most, where nothing is said. */
    public static final int MAX_NEW_TOKENS = 256;

    private static final RowEncoder.Settings PLAIN = new RowEncoder.Settings(false, Integer.MAX_VALUE, false, false);

    private final Deque<AutoCloseable> opened = new ArrayDeque<>();
    private final Optional<RunConfig> run;
    private final Decoder decoder;
    private final CachedDecoder cached;
    private final Generator generator;
    private final Optional<Tokenizer> tokenizer;
    private final Optional<RowEncoder> encoder;
    private final Set<Integer> stopIds;

    private LanguageModel(ModelSource source, Optional<Template> template) {
        try {
            Optional<AdapterOrigin> origin = source.adapter().map(AdapterOrigin::read);
            run = origin.flatMap(AdapterOrigin::run);
            Path directory = source.model().orElseGet(() -> origin.orElseThrow().base());
            BaseOptions options = source.options(origin);
            tokenizer = Files.exists(directory.resolve("tokenizer.json"))
                    ? Optional.of(keep(Tokenizer.load(directory)))
                    : Optional.empty();
            encoder = tokenizer.flatMap(t -> template.or(this::templateOfRun)
                    .map(words -> new RowEncoder(t, words, settings().orElse(PLAIN))));
            stopIds = tokenizer.map(Tokenizer::stopIds).orElseGet(() -> StopIds.of(directory));
            BaseModel base = keep(BaseModel.load(directory, options));
            Trained trained = keep(
                    origin.isPresent()
                            ? adapter(origin.get(), base)
                            : new Trained(base.config().numHiddenLayers()));
            decoder = keep(new Decoder(base, trained));
            cached = keep(new CachedDecoder(decoder));
            generator = new Generator(cached);
        } catch (RuntimeException | Error e) {
            close();
            throw e;
        }
    }

    /**
     * Opens a model.
     *
     * @throws QloraException if a file is missing or does not fit; the message says which, and what to do
     */
    public static LanguageModel open(ModelSource source) {
        return new LanguageModel(source, Optional.empty());
    }

    /** Opens a model whose questions are put into this template, whatever its run had. */
    public static LanguageModel open(ModelSource source, Template template) {
        return new LanguageModel(source, Optional.of(template));
    }

    /** A builder; an adapter, a model, or both are needed. */
    public static LanguageModelBuilder builder() {
        return new LanguageModelBuilder();
    }

    private Trained adapter(AdapterOrigin origin, BaseModel base) {
        NDManager manager = keep(Torch.newManager());
        // peft casts LoRA matrices of 16 bits to float32 (autocast_adapter_dtype), and nothing else of an adapter
        boolean matricesAlone = origin.config().lora().modulesToSave().isEmpty()
                && origin.config().lora().bias() == Bias.NONE;
        Adapter adapter = Adapter.load(
                manager,
                origin.directory(),
                Modules.of(base.config()),
                base.config().modelType(),
                matricesAlone ? Dtype.FLOAT32 : null);
        return Trained.of(base.config(), adapter);
    }

    private Optional<Template> templateOfRun() {
        return run.filter(r -> r.data().format() == DataFormat.ALPACA)
                .map(r -> Template.of(r.data().template()));
    }

    private Optional<RowEncoder.Settings> settings() {
        return run.map(r -> new RowEncoder.Settings(r.data().addBos(), Integer.MAX_VALUE, false, false));
    }

    private <T extends AutoCloseable> T keep(T resource) {
        opened.push(resource);
        return resource;
    }

    /** The configuration of the run that trained the adapter, where its files are there. */
    public Optional<RunConfig> run() {
        return run;
    }

    /** The base with what is trained on it; for one thread at a time. */
    public Decoder decoder() {
        return decoder;
    }

    /** The base's tokenizer; empty where its directory has none. */
    public Optional<Tokenizer> tokenizer() {
        return tokenizer;
    }

    /**
     * The base's tokenizer.
     *
     * @throws QloraException if its directory has none
     */
    public Tokenizer requireTokenizer() {
        return tokenizer.orElseThrow(
                () -> new QloraException(
                        decoder.base().directory()
                                + ": there is no tokenizer.json, so texts cannot be turned into tokens; token ids can be given instead"));
    }

    /** Whether questions are put into a template; without one, a prompt is continued as it is. */
    public boolean hasTemplate() {
        return encoder.isPresent();
    }

    /** The ids that end an answer. */
    public Set<Integer> stopIds() {
        return stopIds;
    }

    /** The ids that a prompt stands for. */
    public int[] encode(Prompt prompt) {
        if (prompt instanceof Prompt.Tokens tokens) {
            return tokens.ids();
        }
        Tokenizer texts = requireTokenizer();
        if (prompt instanceof Prompt.Text text) {
            // a run of plain texts says by add_bos how they begin; else tokenizer.json does, as tok(text) in Python
            int[] ids = settings()
                    .map(s -> new RowEncoder(texts, Template.HUMAN_ASSISTANT, s).prompt(text.text()))
                    .orElseGet(() -> texts.encodeWithSpecialTokens(text.text()));
            if (ids.length == 0) {
                throw new QloraException("the prompt has no token by "
                        + texts.directory().resolve("tokenizer.json") + ": there is nothing to continue");
            }
            return ids;
        }
        return encoder.orElseThrow(() -> new QloraException(
                        "a question needs a template, and nothing names one: give human_assistant or alpaca"))
                .prompt(((Prompt.Question) prompt).row());
    }

    /** The prompt that an instruction is: a question where there is a template, else a text to complete. */
    public Prompt prompt(String instruction) {
        return hasTemplate() ? Prompt.question(instruction) : new Prompt.Text(instruction);
    }

    /** Answers an instruction greedily, with {@link #MAX_NEW_TOKENS} at most. */
    public String generate(String instruction) {
        return generate(prompt(instruction), Sampling.GREEDY, MAX_NEW_TOKENS, piece -> {})
                .text();
    }

    /**
     * Goes on from a prompt until a stop token or the limit.
     *
     * @param listener gets the text as it comes, whole characters at a time; all of it together is {@link Reply#text}
     */
    public Reply generate(Prompt prompt, Sampling sampling, int maxNewTokens, Consumer<String> listener) {
        int[] ids = encode(prompt);
        synchronized (decoder) {
            try (KvCache cache = generator.newCache(ids.length, maxNewTokens)) {
                return generate(cache, ids, ids, sampling, maxNewTokens, listener);
            }
        }
    }

    /**
     * Goes on from several prompts together, a token of each at a time, which takes less time than one after another. Each is
     * chosen as it would be alone; products over rows side by side may be rounded otherwise in their last bit.
     *
     * @return in the order of the prompts
     */
    public List<Reply> generateEach(List<? extends Prompt> prompts, Sampling sampling, int maxNewTokens) {
        requireTokens(maxNewTokens);
        List<int[]> ids = prompts.stream().map(this::encode).toList();
        synchronized (decoder) {
            cached.keepWeights(Rss.freeBytes() / 2);
            return generator.generateEach(ids, maxNewTokens, sampling, stopIds, () -> false).stream()
                    .map(output -> new Reply(
                            text(output.outputIds()), output.outputIds(), output.stopped(), output.tokensPerSecond()))
                    .toList();
        }
    }

    /** The text of generated ids, empty without a tokenizer; a stop token is no text. */
    String text(int[] outputIds) {
        int end = outputIds.length;
        if (end > 0 && stopIds.contains(outputIds[end - 1])) {
            end--;
        }
        int[] ids = Arrays.copyOf(outputIds, end);
        return tokenizer.map(t -> t.decode(ids, true)).orElse("");
    }

    private static void requireTokens(int maxNewTokens) {
        if (maxNewTokens < 1) {
            throw new QloraException("max_new_tokens must be >= 1: " + maxNewTokens);
        }
    }

    /** An empty cache for one row; the caller closes it. */
    KvCache newCache() {
        return cached.newCache();
    }

    /** Goes on from a cache by the tokens {@code fresh}, the last of {@code all}. */
    Reply generate(
            KvCache cache, int[] fresh, int[] all, Sampling sampling, int maxNewTokens, Consumer<String> listener) {
        requireTokens(maxNewTokens);
        Optional<StreamingDecoder> stream = tokenizer.map(t -> t.streamingDecoder(true));
        StringBuilder text = new StringBuilder();
        Consumer<String> told = piece -> {
            if (!piece.isEmpty()) {
                text.append(piece);
                listener.accept(piece);
            }
        };
        synchronized (decoder) {
            // score and eval never come here, and need no second form of the weights
            cached.keepWeights(Rss.freeBytes() / 2);
            Generator.Output output = generator.generate(cache, fresh, all, maxNewTokens, sampling, stopIds, id -> {
                // a stop token is no text, even where it is not marked as special
                if (!stopIds.contains(id)) {
                    stream.ifPresent(s -> told.accept(s.add(id)));
                }
                return true;
            });
            stream.ifPresent(s -> told.accept(s.finish()));
            return new Reply(text.toString(), output.outputIds(), output.stopped(), output.tokensPerSecond());
        }
    }

    /** {@code ln p(ids[i + 1] | ids[..i])} for every i: one less than there are ids. */
    public float[] score(int[] ids) {
        int vocabulary = decoder.base().config().vocabSize();
        for (int id : ids) {
            if (id < 0 || id >= vocabulary) {
                throw new QloraException("token id " + id + "; the model's are 0 to " + (vocabulary - 1));
            }
        }
        if (ids.length < 2) {
            return new float[0];
        }
        synchronized (decoder) {
            try (NDManager pass = Torch.newManager()) {
                PackedRows row = PackedRows.of(List.of(new Example(ids, ids)));
                NDArray hidden = decoder.encode(pass, row);
                return Torch.toFloats(decoder.logProbabilities(pass, hidden, row));
            }
        }
    }

    /** A conversation without turns yet; the caller closes it. It needs a template. */
    public Conversation newConversation(Sampling sampling, int maxNewTokens) {
        return new Conversation(this, sampling, maxNewTokens);
    }

    /**
     * A DJL predictor from an instruction to its answer; the caller closes it before the model. Predictors of one model
     * may be used by a thread each; they wait for one another.
     */
    public Predictor<String, String> newPredictor(Sampling sampling, int maxNewTokens) {
        return AnswerPredictor.of(this, sampling, maxNewTokens);
    }

    /** A greedy DJL predictor, with {@link #MAX_NEW_TOKENS} at most. */
    public Predictor<String, String> newPredictor() {
        return newPredictor(Sampling.GREEDY, MAX_NEW_TOKENS);
    }

    @Override
    public void close() {
        while (!opened.isEmpty()) {
            try {
                opened.pop().close();
            } catch (RuntimeException e) {
                throw e;
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
        }
    }
}
