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

    private static final int TOGETHER = 8;

    /** Asks all of them, some at a time; none sees another. Empty where it was cancelled, which is asked before each token. */
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
            for (int first = 0; first < rows.size(); first += TOGETHER) {
                List<Row.Instruction> some = rows.subList(first, Math.min(rows.size(), first + TOGETHER));
                List<Generator.Output> outputs = generator.generateEach(
                        some.stream().map(encoder::prompt).toList(),
                        maxNewTokens,
                        Sampling.GREEDY,
                        tokenizer.stopIds(),
                        cancelled);
                if (cancelled.getAsBoolean()) {
                    return Optional.empty();
                }
                for (int i = 0; i < some.size(); i++) {
                    if (tokenizer
                            .decode(outputs.get(i).outputIds(), true)
                            .equals(some.get(i).output())) {
                        right++;
                    }
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
