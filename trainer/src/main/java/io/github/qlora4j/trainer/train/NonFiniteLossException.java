package io.github.qlora4j.trainer.train;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.trainer.data.Batch;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;

/** A loss or a gradient is NaN or infinite: the run stops before it spoils the adapter. */
public final class NonFiniteLossException extends QloraException {

    private static final long serialVersionUID = 1L;

    NonFiniteLossException(long step, List<Batch> batches, String where, String base, Throwable cause) {
        super(
                "step " + step + ": not finite: " + where + "\n  rows (their first tokens): " + rows(batches)
                        + "\n  " + base + "\n  Nothing was updated; the last checkpoint is good."
                        + " Lower training.learning_rate or look at these rows.",
                cause);
    }

    private static String rows(List<Batch> batches) {
        return batches.stream()
                .flatMap(batch -> batch.rows().stream())
                .limit(8)
                .map(row -> Arrays.stream(row.inputIds())
                        .limit(8)
                        .mapToObj(Integer::toString)
                        .collect(Collectors.joining(",", "[", row.length() > 8 ? ",…]" : "]")))
                .collect(Collectors.joining(" "));
    }
}
