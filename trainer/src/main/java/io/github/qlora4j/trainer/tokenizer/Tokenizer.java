package io.github.qlora4j.trainer.tokenizer;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import ai.djl.huggingface.tokenizers.jni.TokenizersLibrary;
import io.github.qlora4j.quant.QloraException;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import java.util.OptionalInt;
import java.util.Set;

/**
 * A model directory's tokenizer.
 *
 * <pre>{@code
 * try (Tokenizer tokenizer = Tokenizer.load(Path.of("models/llama"))) {
 *     int[] ids = tokenizer.encode("Human: hello\n\nAssistant: ");
 *     String text = tokenizer.decode(ids, true);
 * }
 * }</pre>
 *
 * <p>Ids equal those of transformers' {@code TokenizersBackend} (the plain {@code tokenizer.json}). Texts are neither cut
 * nor padded. As in transformers, a special token written out in a text, such as {@code </s>}, becomes that token;
 * {@link #encodeOrdinary} is its {@code split_special_tokens=True}, for texts that strangers write.
 *
 * <p><b>Limitation:</b> a directory whose {@code tokenizer_config.json} names {@code LlamaTokenizer} is read as its {@code
 * tokenizer.json} says, as transformers 4 did; transformers 5 rebuilds that class with rules of its own, which differ for
 * texts that begin with a space.
 *
 * <p>Safe for use by several threads. Close it when no thread uses it any more.
 */
public final class Tokenizer implements AutoCloseable {

    static {
        // Read by DJL when its classes load: no CUDA build of the tokenizers, and no call home.
        if (System.getProperty("RUST_FLAVOR") == null) {
            System.setProperty("RUST_FLAVOR", "cpu");
        }
        if (System.getProperty("OPT_OUT_TRACKING") == null) {
            System.setProperty("OPT_OUT_TRACKING", "true");
        }
    }

    private static final Map<String, String> WHOLE = Map.of("truncation", "false", "padding", "false");

    private final Path directory;
    private final TokenizerFiles files;
    private final HuggingFaceTokenizer library;
    private HuggingFaceTokenizer ordinary;
    private boolean closed;

    private Tokenizer(Path directory, TokenizerFiles files, HuggingFaceTokenizer library) {
        this.directory = directory;
        this.files = files;
        this.library = library;
    }

    /**
     * Opens the tokenizer of a Hugging Face model directory.
     *
     * @throws QloraException if there is no {@code tokenizer.json}, or a file is damaged; the message names it
     */
    public static Tokenizer load(Path modelDir) {
        TokenizerFiles.Opened opened = TokenizerFiles.read(modelDir);
        TokenizerFiles files = opened.files();
        return new Tokenizer(modelDir, files, open(files.tokenizerFile(), opened.tokenizerJson()));
    }

    private static HuggingFaceTokenizer open(Path file, byte[] json) {
        try {
            return HuggingFaceTokenizer.newInstance(new ByteArrayInputStream(json), WHOLE);
        } catch (IOException | RuntimeException e) {
            throw new QloraException(
                    file + ": the tokenizers library cannot use this file: " + e.getMessage()
                            + ". Copy it anew from where the model came from.",
                    e);
        }
    }

    /** The directory this tokenizer was read from. */
    public Path directory() {
        return directory;
    }

    /** The ids of a text, without BOS, EOS or anything else that a post-processor would add. */
    public int[] encode(String text) {
        return encode(library(), text, false);
    }

    /** The ids of a text with what {@code tokenizer.json} puts around it, as {@code tok(text).input_ids} in Python. */
    public int[] encodeWithSpecialTokens(String text) {
        return encode(library(), text, true);
    }

    /**
     * The ids of a text in which special tokens that are written out stay ordinary text, as {@code
     * split_special_tokens=True} in Python. The first call opens a second tokenizer.
     */
    public int[] encodeOrdinary(String text) {
        return encode(ordinary(), text, false);
    }

    private int[] encode(HuggingFaceTokenizer tokenizer, String text, boolean addSpecialTokens) {
        int half = loneSurrogate(text);
        if (half >= 0) {
            throw new QloraException(String.format(
                    "the text is not Unicode: half a surrogate pair (U+%04X) at character %d. Remove it.",
                    (int) text.charAt(half), half));
        }
        // The public encode() makes a string and a span object of every token besides its id: twice the time.
        long encoding = TokenizersLibrary.LIB.encode(tokenizer.getHandle(), text, addSpecialTokens);
        long[] ids;
        try {
            ids = TokenizersLibrary.LIB.getTokenIds(encoding);
        } finally {
            TokenizersLibrary.LIB.deleteEncoding(encoding);
        }
        int[] result = new int[ids.length];
        for (int i = 0; i < ids.length; i++) {
            if (ids[i] < 0 || ids[i] >= files.vocabSize()) {
                throw new QloraException(files.tokenizerFile() + ": damaged: it gives a text the token id " + ids[i]
                        + ", which is outside its vocabulary of " + files.vocabSize());
            }
            result[i] = (int) ids[i];
        }
        return result;
    }

    private static int loneSurrogate(String text) {
        for (int i = 0; i < text.length(); i++) {
            if (Character.isSurrogate(text.charAt(i))) {
                if (!Character.isHighSurrogate(text.charAt(i))
                        || i + 1 == text.length()
                        || !Character.isLowSurrogate(text.charAt(i + 1))) {
                    return i;
                }
                i++;
            }
        }
        return -1;
    }

    /**
     * The text of some ids.
     *
     * @param skipSpecial whether special tokens are left out
     * @throws QloraException if an id is negative
     */
    public String decode(int[] ids, boolean skipSpecial) {
        return decode(ids, 0, ids.length, skipSpecial);
    }

    String decode(int[] ids, int from, int to, boolean skipSpecial) {
        long[] wide = new long[to - from];
        for (int i = from; i < to; i++) {
            if (ids[i] < 0) {
                throw new QloraException("token ids must not be negative: ids[" + i + "] = " + ids[i]);
            }
            wide[i - from] = ids[i];
        }
        return library().decode(wide, skipSpecial);
    }

    /** Turns ids into text as they come, whole characters at a time; for one thread. */
    public StreamingDecoder streamingDecoder(boolean skipSpecial) {
        return new StreamingDecoder(this, skipSpecial);
    }

    /** The id of the token that begins a text, where the model has one. */
    public OptionalInt bosId() {
        return files.bosId();
    }

    /** The id of the token that ends a text, where the model has one. */
    public OptionalInt eosId() {
        return files.eosId();
    }

    /** {@link #eosId}, or an error that says where it could be named. */
    public int requireEosId() {
        return eosId().orElseThrow(() -> new QloraException(directory
                + ": no end-of-text token is known. Name one as \"eos_token\" in tokenizer_config.json; it must be in"
                + " tokenizer.json's vocabulary."));
    }

    /** {@link #bosId}, or an error that says where it could be named. */
    public int requireBosId() {
        return bosId().orElseThrow(() -> new QloraException(directory
                + ": no begin-of-text token is known. Name one as \"bos_token\" in tokenizer_config.json, or set"
                + " data.add_bos: false."));
    }

    /** The id of the token for padding, where the model has one; this project never pads. */
    public OptionalInt padId() {
        return files.padId();
    }

    /** The ids that end a generated text: {@link #eosId} and those of generation_config.json, or else config.json. */
    public Set<Integer> stopIds() {
        return files.stopIds();
    }

    /** The largest id of the vocabulary and of the added tokens, plus one. */
    public int vocabSize() {
        return files.vocabSize();
    }

    /** The number of rows of the model's embedding by config.json, where that stands beside; else {@link #vocabSize}. */
    public int modelVocabSize() {
        return files.modelVocabSize();
    }

    /** The id of a token by its exact spelling in {@code tokenizer.json}, such as {@code <|im_end|>}. */
    public OptionalInt tokenId(String token) {
        return files.tokenId(token);
    }

    /** The SHA-256, in hex, of all that decides which ids a text gets. */
    public String fingerprint() {
        return files.fingerprint();
    }

    boolean isByteToken(int id) {
        return files.isByteToken(id);
    }

    boolean addsNoText(int id, boolean skipSpecial) {
        return id >= files.vocabSize() || skipSpecial && files.isSpecial(id);
    }

    private synchronized HuggingFaceTokenizer library() {
        if (closed) {
            throw new IllegalStateException("the tokenizer of " + directory + " is closed");
        }
        return library;
    }

    private synchronized HuggingFaceTokenizer ordinary() {
        library();
        if (ordinary == null) {
            ordinary = open(files.tokenizerFile(), files.withoutSpecialTokens());
        }
        return ordinary;
    }

    /** Frees the native tokenizer. */
    @Override
    public synchronized void close() {
        if (!closed) {
            closed = true;
            library.close();
            if (ordinary != null) {
                ordinary.close();
            }
        }
    }
}
