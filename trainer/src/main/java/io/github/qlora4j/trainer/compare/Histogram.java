package io.github.qlora4j.trainer.compare;

/**
 * How often numbers fall into bins of equal width; what lies outside is not counted.
 *
 * @param low where the first bin begins
 * @param high where the last one ends, itself included
 * @param counts a bin each; the array is the histogram's own
 */
public record Histogram(double low, double high, long[] counts) {

    /** An empty one: 150 bins from −2 to 2. */
    public static Histogram ofWeights() {
        return new Histogram(-2, 2, new long[150]);
    }

    /** Counts some numbers in. */
    public void add(float[] values) {
        double perUnit = counts.length / (high - low);
        for (float value : values) {
            if (value >= low && value <= high) {
                counts[Math.min(counts.length - 1, (int) ((value - low) * perUnit))]++;
            }
        }
    }

    /** Where a bin's middle lies. */
    double middle(int bin) {
        return low + (bin + 0.5) * (high - low) / counts.length;
    }
}
