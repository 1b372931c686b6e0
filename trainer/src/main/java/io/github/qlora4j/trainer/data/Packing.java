package io.github.qlora4j.trainer.data;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.IntStream;

/**
 * Rows put together into bins of up to {@code capacity} tokens; a bin then counts as one row of a batch.
 *
 * <p>Best fit, longest rows first: each row goes to the fullest bin that still takes it. The bins depend on the lengths
 * alone, so they are the same in every epoch. Inside a bin each row attends to itself alone, as anywhere.
 *
 * @param bins row numbers, ascending in each bin; bins ascending by their first row
 * @param capacity the most tokens of a bin
 * @param tokens the tokens of all rows
 */
public record Packing(List<int[]> bins, int capacity, long tokens) {

    static Packing of(Dataset data, int capacity) {
        Integer[] longestFirst = IntStream.range(0, data.size()).boxed().toArray(Integer[]::new);
        Arrays.sort(longestFirst, Comparator.comparingInt(r -> -data.length(r))); // rows of one length as they were
        List<List<Integer>> bins = new ArrayList<>();
        // room left -> bins with that room, the last one taken first
        TreeMap<Integer, List<Integer>> byRoom = new TreeMap<>();
        long tokens = 0;
        for (int row : longestFirst) {
            int length = data.length(row);
            tokens += length;
            Map.Entry<Integer, List<Integer>> fit = byRoom.ceilingEntry(length);
            int room = capacity - length;
            int bin = bins.size();
            if (fit == null) {
                bins.add(new ArrayList<>());
            } else {
                bin = fit.getValue().remove(fit.getValue().size() - 1);
                room = fit.getKey() - length;
                if (fit.getValue().isEmpty()) {
                    byRoom.remove(fit.getKey());
                }
            }
            bins.get(bin).add(row);
            byRoom.computeIfAbsent(room, r -> new ArrayList<>()).add(bin);
        }
        List<int[]> sorted = bins.stream()
                .map(bin -> bin.stream().mapToInt(Integer::intValue).sorted().toArray())
                .sorted(Comparator.comparingInt(bin -> bin[0]))
                .toList();
        return new Packing(sorted, capacity, tokens);
    }

    /** How full the bins are on average, from 0 to 1. */
    public double fill() {
        return bins.isEmpty() ? 0 : (double) tokens / ((double) bins.size() * capacity);
    }

    /** One line for the user. */
    public String summary(int rows) {
        return String.format(
                Locale.ROOT,
                "packing: %,d rows in %,d bins of up to %,d tokens, %.1f %% full",
                rows,
                bins.size(),
                capacity,
                100 * fill());
    }
}
