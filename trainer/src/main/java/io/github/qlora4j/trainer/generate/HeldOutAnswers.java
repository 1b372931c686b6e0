package io.github.qlora4j.trainer.generate;

import io.github.qlora4j.trainer.data.Row;
import io.github.qlora4j.trainer.data.RowEncoder;
import io.github.qlora4j.trainer.model.CachedDecoder;
import io.github.qlora4j.trainer.model.Decoder;
import io.github.qlora4j.trainer.report.Rss;
import io.github.qlora4j.trainer.tokenizer.Tokenizer;
import java.util.List;
import java.util.Optional;
import java.util.function.BooleanSupplier;

/**
 * How many instructions a model answers with exactly their {@code output}, greedily.
 *
 * @param right answers that equal the output, character for character
 * @param asked instructions
 */
public record HeldOutAnswers(int right, int asked) {

    /** Asks all of them, each by itself; empty where it was cancelled, which is asked before each token. */
    public static Optional<HeldOutAnswers> of(
            Decoder decoder,
            Tokenizer tokenizer,
            RowEncoder encoder,
            List<Row.Instruction> rows,
            int maxNewTokens,
            BooleanSupplier cancelled) {
        int right = 0;
        try (CachedDecoder cached = new CachedDecoder(decoder)) {
            cached.keepWeights(Rss.freeBytes() / 4);
            Generator generator = new Generator(cached);
            for (Row.Instruction row : rows) {
                Generator.Output output = generator.generate(
                        encoder.prompt(row),
                        maxNewTokens,
                        Sampling.GREEDY,
                        tokenizer.stopIds(),
                        token -> !cancelled.getAsBoolean());
                if (cancelled.getAsBoolean()) {
                    return Optional.empty();
                }
                if (tokenizer.decode(output.outputIds(), true).equals(row.output())) {
                    right++;
                }
            }
        }
        return Optional.of(new HeldOutAnswers(right, rows.size()));
    }

    /** In percent. */
    public double percent() {
        return asked == 0 ? 0 : 100.0 * right / asked;
    }
}
