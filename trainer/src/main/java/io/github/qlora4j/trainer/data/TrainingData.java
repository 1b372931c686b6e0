package io.github.qlora4j.trainer.data;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.trainer.config.DataSection;
import io.github.qlora4j.trainer.tokenizer.Tokenizer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Optional;

/**
 * The rows of a run: those to learn and those to evaluate on.
 *
 * @param train what is learned
 * @param eval what is evaluated on, if anything
 * @param encoder how rows and prompts become ids, for generation with the same words
 * @param trainReport what became of the rows of {@code data.train}, before {@code eval_fraction} took its share
 */
public record TrainingData(Dataset train, Optional<Dataset> eval, RowEncoder encoder, DataReport trainReport) {

    // Streams of the random numbers: epochs are 0, 1, 2, …
    private static final long EVAL_STREAM = -1;

    /**
     * Reads and tokenizes what a configuration names.
     *
     * @param seed decides which rows {@code eval_fraction} takes
     * @throws QloraException if a file or row cannot be used, or nothing can be learned
     */
    public static TrainingData load(DataSection data, long seed, Tokenizer tokenizer) {
        RowEncoder encoder = encoder(data, tokenizer);
        Optional<Path> cache = Optional.of(data.cacheDir() == null ? defaultCache() : data.cacheDir());
        if (!data.eval().isEmpty() && data.evalFraction() > 0) {
            throw new QloraException("data.eval and data.eval_fraction: " + data.evalFraction()
                    + " contradict each other. Leave one of them out.");
        }
        Dataset train = Dataset.load(DataSource.train(data), encoder, cache);
        if (!data.eval().isEmpty()) {
            return new TrainingData(
                    train, Optional.of(Dataset.load(DataSource.eval(data), encoder, cache)), encoder, train.report());
        }
        return data.evalFraction() > 0
                ? split(train, data.evalFraction(), seed, encoder)
                : new TrainingData(train, Optional.empty(), encoder, train.report());
    }

    /** How a configuration turns rows into ids. */
    public static RowEncoder encoder(DataSection data, Tokenizer tokenizer) {
        return new RowEncoder(
                tokenizer,
                Template.of(data.template()),
                new RowEncoder.Settings(data.addBos(), data.maxLength(), data.trainOnPrompt(), false));
    }

    /** {@code ceil(fraction × rows)} rows drawn by seed, both parts in file order. */
    static TrainingData split(Dataset all, double fraction, long seed, RowEncoder encoder) {
        int count = (int) Math.ceil(fraction * all.size());
        if (count >= all.size()) {
            throw new QloraException("data.eval_fraction: " + fraction + " of " + all.size()
                    + " rows leaves nothing to learn. Lower it, or add rows.");
        }
        int[] order = new SplitMix64(seed, EVAL_STREAM).permutation(all.size());
        int[] eval = Arrays.copyOf(order, count);
        int[] train = Arrays.copyOfRange(order, count, order.length);
        Arrays.sort(eval);
        Arrays.sort(train);
        String name = fraction + " by seed " + seed;
        return new TrainingData(
                all.subset(train, "all but " + name), Optional.of(all.subset(eval, name)), encoder, all.report());
    }

    /** {@code $XDG_CACHE_HOME/qlora4j/rows}, or {@code ~/.cache/qlora4j/rows}. */
    static Path defaultCache() {
        String caches = System.getenv("XDG_CACHE_HOME");
        Path base = caches == null || caches.isBlank()
                ? Path.of(System.getProperty("user.home"), ".cache")
                : Path.of(caches);
        return base.resolve("qlora4j").resolve("rows");
    }
}
