package io.github.qlora4j.trainer.data;

import io.github.qlora4j.quant.QloraException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * Which rows each optimizer step takes: any step can be asked for, so that a run is resumed by its step number alone.
 *
 * <p>An epoch is all rows once, in a new random order that (seed, epoch) alone decides, cut into batches of {@code
 * batchSize}, and these into steps of {@code accumulation} batches. As in TrainingArguments, nothing is dropped: the last
 * batch of an epoch may be smaller, and so may its last step. Steps count from 0. For one thread.
 */
public final class BatchPlan {

    private final Dataset data;
    private final Order order;
    private final Optional<Packing> packing;
    private final int units;
    private long orderedEpoch = -1;
    private int[] ordered;

    /**
     * How rows become batches.
     *
     * @param batchSize rows (or bins, when packing) of a batch
     * @param accumulation batches of an optimizer step
     * @param shuffle whether each epoch has an order of its own, or the files'
     * @param seed decides the orders
     * @param packTo the most tokens of a bin; 0 is no packing
     */
    public record Order(int batchSize, int accumulation, boolean shuffle, long seed, int packTo) {

        /** Checks the sizes. */
        public Order {
            if (batchSize < 1 || accumulation < 1 || packTo < 0) {
                throw new IllegalArgumentException("batchSize and accumulation must be >= 1, packTo >= 0: batchSize="
                        + batchSize + ", accumulation=" + accumulation + ", packTo=" + packTo);
            }
        }
    }

    /**
     * Makes the plan of a dataset.
     *
     * @throws QloraException if the dataset is empty, or a row is longer than a bin
     */
    public BatchPlan(Dataset data, Order order) {
        if (data.size() == 0) {
            throw new QloraException("there are no rows to make batches of");
        }
        if (order.packTo() > 0 && data.report().longest() > order.packTo()) {
            throw new QloraException("a row of " + data.report().longest() + " tokens does not fit into a bin of "
                    + order.packTo() + "; expected rows cut to max_length");
        }
        this.data = data;
        this.order = order;
        this.packing = order.packTo() > 0 ? Optional.of(Packing.of(data, order.packTo())) : Optional.empty();
        this.units = packing.map(p -> p.bins().size()).orElse(data.size());
    }

    /** How the rows are packed, where they are. */
    public Optional<Packing> packing() {
        return packing;
    }

    /** The batches of an epoch. */
    public int batchesPerEpoch() {
        return ceilDiv(units, order.batchSize());
    }

    /** The optimizer steps of an epoch. */
    public int stepsPerEpoch() {
        return ceilDiv(batchesPerEpoch(), order.accumulation());
    }

    /**
     * The optimizer steps of a run, as transformers' Trainer counts them ({@code set_initial_training_values}).
     *
     * @param epochs may be fractional; counts where {@code maxSteps} is not positive
     * @param maxSteps may be more than the epochs have, or fewer
     */
    public int totalSteps(double epochs, int maxSteps) {
        if (maxSteps > 0) {
            return maxSteps;
        }
        double steps = Math.ceil(epochs * stepsPerEpoch());
        if (!(steps >= 1 && steps <= Integer.MAX_VALUE)) {
            throw new QloraException("num_train_epochs " + epochs + " of " + stepsPerEpoch() + " steps each are "
                    + steps + " steps; expected 1 to " + Integer.MAX_VALUE);
        }
        return (int) steps;
    }

    /** How many epochs are done after this many steps, such as 1.5. */
    public double epochAfter(int steps) {
        int whole = steps / stepsPerEpoch();
        int batches = (steps % stepsPerEpoch()) * order.accumulation();
        return whole + (double) batches / batchesPerEpoch();
    }

    /** The batches of a step, counted from 0 over all epochs. */
    public List<Batch> step(int step) {
        if (step < 0) {
            throw new IllegalArgumentException("step must be >= 0: " + step);
        }
        int[] epoch = epoch(step / stepsPerEpoch());
        int first = (step % stepsPerEpoch()) * order.accumulation();
        int end = Math.min(first + order.accumulation(), batchesPerEpoch());
        return IntStream.range(first, end).mapToObj(b -> batch(epoch, b)).toList();
    }

    /** All rows once, in file order, a batch at a time: for evaluation. */
    public static Stream<Batch> inOrder(Dataset data, int batchSize) {
        return IntStream.range(0, ceilDiv(data.size(), batchSize))
                .mapToObj(b ->
                        new Batch(IntStream.range(b * batchSize, (int) Math.min(data.size(), (b + 1L) * batchSize))
                                .mapToObj(data::get)
                                .toList()));
    }

    private Batch batch(int[] epoch, int batch) {
        List<Example> rows = new ArrayList<>();
        int end = (int) Math.min(epoch.length, (batch + 1L) * order.batchSize());
        for (int i = batch * order.batchSize(); i < end; i++) {
            if (packing.isPresent()) {
                for (int row : packing.get().bins().get(epoch[i])) {
                    rows.add(data.get(row));
                }
            } else {
                rows.add(data.get(epoch[i]));
            }
        }
        return new Batch(rows);
    }

    private int[] epoch(long epoch) {
        if (!order.shuffle()) {
            epoch = 0;
        }
        if (epoch != orderedEpoch) {
            ordered = order.shuffle()
                    ? new SplitMix64(order.seed(), epoch).permutation(units)
                    : IntStream.range(0, units).toArray();
            orderedEpoch = epoch;
        }
        return ordered;
    }

    private static int ceilDiv(int a, int b) {
        return (int) ((a + (long) b - 1) / b);
    }
}
