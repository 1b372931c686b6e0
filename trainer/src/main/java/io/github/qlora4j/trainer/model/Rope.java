package io.github.qlora4j.trainer.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.quant.torch.TorchScript;
import java.util.Arrays;
import java.util.stream.IntStream;

/**
 * Rotary position embeddings: the angles of each position, in every scaling that {@link RopeScaling} names.
 *
 * <p>Source: {@code transformers/modeling_rope_utils.py}. Frequencies are float32, as there. Closing it frees its table.
 */
final class Rope implements AutoCloseable {

    private static final TorchScript SCRIPT = TorchScript.load(Rope.class, "rope.py");

    private final int headDim;
    private final double theta;
    private final RopeScaling scaling;
    private final int maxPositionEmbeddings;
    private final float[] fixed;
    private final NDManager owner = Torch.newManager();
    private Angles table;
    private int tableLength;

    Rope(ModelConfig config) {
        this.headDim = config.headDim();
        this.theta = config.ropeTheta();
        this.scaling = config.ropeScaling();
        this.maxPositionEmbeddings = config.maxPositionEmbeddings();
        this.fixed = scaling instanceof RopeScaling.Dynamic ? new float[0] : fixedFrequencies();
    }

    /** cos and sin, each {@code [tokens, 1, head_dim]}. */
    record Angles(NDArray cos, NDArray sin) {}

    /**
     * The angles of tokens that lie in rows, each row counting its positions from 0.
     *
     * @param rowStarts where each row starts, and last the number of tokens
     */
    Angles ofRows(NDManager manager, int[] positions, int[] rowStarts, Dtype dtype) {
        if (!(scaling instanceof RopeScaling.Dynamic)) {
            return angles(manager, positions, frequencies(0), dtype);
        }
        // the frequencies depend on the length of the row, as they do where a row is run alone
        float[] all = new float[positions.length * headDim / 2];
        for (int r = 0; r + 1 < rowStarts.length; r++) {
            float[] own = frequencies(positions[rowStarts[r + 1] - 1] + 1);
            for (int t = rowStarts[r]; t < rowStarts[r + 1]; t++) {
                System.arraycopy(own, 0, all, t * headDim / 2, headDim / 2);
            }
        }
        return angles(manager, positions, all, dtype);
    }

    /**
     * The angles of tokens at these positions.
     *
     * @param lengths the tokens of each one's row, itself and what is new behind it included
     */
    Angles at(NDManager manager, int[] positions, int[] lengths, Dtype dtype) {
        if (scaling instanceof RopeScaling.Dynamic) {
            float[] all = new float[positions.length * headDim / 2];
            for (int t = 0; t < positions.length; t++) {
                System.arraycopy(frequencies(lengths[t]), 0, all, t * headDim / 2, headDim / 2);
            }
            return angles(manager, positions, all, dtype);
        }
        int end = Arrays.stream(positions).max().orElseThrow() + 1;
        if (end > tableLength || Torch.dtype(table.cos()) != dtype) {
            // kept, for a token at a time asks again and again
            tableLength = Math.max(end, (int) Math.min(Integer.MAX_VALUE - 8L, 2L * tableLength));
            if (table != null) {
                table.cos().close();
                table.sin().close();
            }
            table = angles(owner, IntStream.range(0, tableLength).toArray(), fixed, dtype);
        }
        try (NDArray rows = Torch.ofInts(manager, positions, positions.length)) {
            return new Angles(
                    SCRIPT.tensor(manager, "rows", table.cos(), rows),
                    SCRIPT.tensor(manager, "rows", table.sin(), rows));
        }
    }

    private Angles angles(NDManager manager, int[] positions, float[] frequencies, Dtype dtype) {
        try (NDManager scratch = Torch.newManager()) {
            var tables = SCRIPT.tensors(
                    manager,
                    "angles",
                    Torch.ofInts(scratch, positions, positions.length),
                    Torch.ofFloats(scratch, frequencies, frequencies.length / (headDim / 2), headDim / 2),
                    scaling instanceof RopeScaling.Yarn yarn ? yarn.attentionFactor() : 1.0,
                    dtype.code());
            return new Angles(tables.get(0), tables.get(1));
        }
    }

    /** The inverse frequencies of one row, {@code head_dim / 2} of them. */
    private float[] frequencies(int rowLength) {
        if (scaling instanceof RopeScaling.Dynamic dynamic) {
            float length = Math.max(rowLength, maxPositionEmbeddings);
            double stretch = (float) (dynamic.factor() * length / maxPositionEmbeddings) - (dynamic.factor() - 1);
            return inverse(theta * Math.pow(stretch, headDim / (headDim - 2.0)));
        }
        return fixed;
    }

    private float[] fixedFrequencies() {
        float[] inverse = inverse(theta);
        if (scaling instanceof RopeScaling.Linear linear) {
            for (int i = 0; i < inverse.length; i++) {
                inverse[i] /= (float) linear.factor();
            }
        } else if (scaling instanceof RopeScaling.Llama3 llama3) {
            llama3(inverse, llama3);
        } else if (scaling instanceof RopeScaling.Yarn yarn) {
            yarn(inverse, yarn);
        }
        return inverse;
    }

    private float[] inverse(double base) {
        try (NDManager scratch = Torch.newManager()) {
            return Torch.toFloats(SCRIPT.tensor(scratch, "inverse_frequencies", base, headDim));
        }
    }

    private static void llama3(float[] inverse, RopeScaling.Llama3 s) {
        double longest = s.originalMaxPositionEmbeddings() / s.lowFreqFactor();
        double shortest = s.originalMaxPositionEmbeddings() / s.highFreqFactor();
        for (int i = 0; i < inverse.length; i++) {
            double wavelength = 2 * Math.PI / inverse[i];
            if (wavelength > longest) {
                inverse[i] = (float) (inverse[i] / s.factor());
            } else if (wavelength >= shortest) {
                double smooth = (s.originalMaxPositionEmbeddings() / wavelength - s.lowFreqFactor())
                        / (s.highFreqFactor() - s.lowFreqFactor());
                inverse[i] = (float) ((1 - smooth) * inverse[i] / s.factor() + smooth * inverse[i]);
            }
        }
    }

    private void yarn(float[] inverse, RopeScaling.Yarn s) {
        double low = correctionDim(s.betaFast(), s.originalMaxPositionEmbeddings());
        double high = correctionDim(s.betaSlow(), s.originalMaxPositionEmbeddings());
        if (s.truncate()) {
            low = Math.floor(low);
            high = Math.ceil(high);
        }
        low = Math.max(low, 0);
        high = Math.min(high, headDim - 1);
        if (low == high) {
            high += 0.001;
        }
        for (int i = 0; i < inverse.length; i++) {
            double ramp = Math.min(1, Math.max(0, (i - low) / (high - low)));
            inverse[i] = (float) (inverse[i] / s.factor() * ramp + inverse[i] * (1 - ramp));
        }
    }

    private double correctionDim(double rotations, int positions) {
        return headDim * Math.log(positions / (rotations * 2 * Math.PI)) / (2 * Math.log(theta));
    }

    @Override
    public void close() {
        owner.close();
    }
}
