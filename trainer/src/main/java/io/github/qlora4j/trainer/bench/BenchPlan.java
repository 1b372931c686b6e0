package io.github.qlora4j.trainer.bench;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.trainer.config.Precision;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * What is measured.
 *
 * @param model the model's directory
 * @param schemes each in a JVM of its own
 * @param lengths tokens of a row
 * @param batches rows that go through the model together
 * @param rounds how often each thing is measured after once that does not count; the median is taken
 * @param newTokens generated behind each prompt
 * @param compute the dtype of 4-bit products
 * @param threads of the products; 0 for all cores
 */
public record BenchPlan(
        String model,
        List<BenchScheme> schemes,
        List<Integer> lengths,
        List<Integer> batches,
        int rounds,
        int newTokens,
        Precision compute,
        int threads) {

    /** How long rows are where nothing is said. */
    public static final List<Integer> LENGTHS = List.of(32, 128, 512);

    /** How many rows go together where nothing is said. */
    public static final List<Integer> BATCHES = List.of(1, 4);

    /** Rows and tokens that no machine has the memory for, and that no product of the two overflows. */
    private static final int MOST = 1 << 24;

    /**
     * Sorts lengths and batches, each once.
     *
     * @throws QloraException if a number is out of range, or a list empty
     */
    public BenchPlan {
        schemes = schemes.stream().distinct().toList();
        lengths = checked("--lengths", lengths, 2);
        batches = checked("--batches", batches, 1);
        check("--rounds", rounds, 1, 1000);
        check("--new-tokens", newTokens, 2, MOST);
        check("--threads", threads, 0, 1024);
        if (schemes.isEmpty()) {
            throw new QloraException("--schemes names none");
        }
    }

    private static List<Integer> checked(String name, List<Integer> values, int least) {
        if (values.isEmpty()) {
            throw new QloraException(name + " has no number");
        }
        values.forEach(value -> check(name, value, least, MOST));
        return values.stream().distinct().sorted().toList();
    }

    private static void check(String name, int value, int least, int most) {
        if (value < least || value > most) {
            throw new QloraException(name + ": " + value + " is not from " + least + " to " + most);
        }
    }

    /** Rows of one length that go through the model together. */
    record Cell(int batch, int length) {
        long tokens() {
            return (long) batch * length;
        }

        @Override
        public String toString() {
            return batch + " × " + length;
        }
    }

    /** All of them, those with fewer tokens first. */
    List<Cell> cells() {
        List<Cell> cells = new ArrayList<>();
        for (int batch : batches) {
            for (int length : lengths) {
                cells.add(new Cell(batch, length));
            }
        }
        cells.sort(Comparator.comparingLong(Cell::tokens).thenComparingInt(Cell::batch));
        return cells;
    }

    /** The same with one scheme. */
    BenchPlan only(BenchScheme scheme) {
        return new BenchPlan(model, List.of(scheme), lengths, batches, rounds, newTokens, compute, threads);
    }

    /** About how many tokens go through the model, one of generation being worth some of a forward pass. */
    long work() {
        long forward = cells().stream().mapToLong(Cell::tokens).sum();
        long generation = cells().stream()
                .mapToLong(cell -> cell.tokens() + GENERATED * newTokens)
                .sum();
        return schemes.size() * (1L + rounds) * (forward + generation);
    }

    /** What a generated token costs, in tokens of a forward pass. */
    static final long GENERATED = 20;
}
