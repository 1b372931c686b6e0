package io.github.qlora4j.quant.scheme;

/**
 * What a scheme leaves of some weights, and what it takes to keep them.
 *
 * @param weights how many there are
 * @param squaredError the sum of the squared errors
 * @param squaredSignal the sum of the squared weights
 * @param maxError the largest absolute error
 * @param bits of codes, scales and all else that is kept
 */
public record Fidelity(long weights, double squaredError, double squaredSignal, double maxError, long bits) {

    /** Of nothing; what others are added to. */
    public static final Fidelity NONE = new Fidelity(0, 0, 0, 0, 0);

    /** Of a tensor and what is left of it. */
    public static Fidelity of(float[] original, Quantized quantized) {
        return of(original, quantized.dequantize(), quantized.bits());
    }

    /** Of a tensor and what is left of it, which takes so many bits. */
    public static Fidelity of(float[] original, float[] restored, long bits) {
        if (original.length != restored.length) {
            throw new IllegalArgumentException(original.length + " weights, " + restored.length + " restored");
        }
        double squaredError = 0;
        double squaredSignal = 0;
        double maxError = 0;
        for (int i = 0; i < original.length; i++) {
            double error = (double) restored[i] - original[i];
            squaredError += error * error;
            squaredSignal += (double) original[i] * original[i];
            maxError = Math.max(maxError, Math.abs(error));
        }
        return new Fidelity(original.length, squaredError, squaredSignal, maxError, bits);
    }

    /** Of these weights and those together. */
    public Fidelity plus(Fidelity other) {
        return new Fidelity(
                weights + other.weights,
                squaredError + other.squaredError,
                squaredSignal + other.squaredSignal,
                Math.max(maxError, other.maxError),
                bits + other.bits);
    }

    /** The mean squared error. */
    public double mse() {
        return squaredError / weights;
    }

    /** The signal-to-noise ratio in decibels, 10 log10(Σ w² / Σ error²); infinite where nothing was lost. */
    public double snrDb() {
        return squaredError == 0 ? Double.POSITIVE_INFINITY : 10 * Math.log10(squaredSignal / squaredError);
    }

    /** Bits a weight, all overheads included. */
    public double bitsPerWeight() {
        return (double) bits / weights;
    }
}
