package io.github.qlora4j.trainer.compare;

import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.DenseWeight;
import io.github.qlora4j.quant.Scratch;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.scheme.FakeQuantizer;
import io.github.qlora4j.quant.scheme.Fidelity;
import io.github.qlora4j.quant.scheme.RoundTrip;
import io.github.qlora4j.quant.scheme.Scheme;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.data.Dataset;
import io.github.qlora4j.trainer.generate.LanguageModel;
import io.github.qlora4j.trainer.model.Family;
import io.github.qlora4j.trainer.model.ModelConfig;
import io.github.qlora4j.trainer.train.Evaluation;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;

/**
 * Sends the linear layers of a model's blocks through schemes, a tensor at a time, and measures what that does.
 *
 * <pre>{@code
 * try (SchemeComparison comparison = SchemeComparison.open(Path.of("models/llama"), Optional.empty())) {
 *     Fidelity lost = comparison.compare(scheme).whole();
 * }
 * }</pre>
 *
 * <p>For the perplexity the dequantized weights take the places of the model's own, in its dtype; nothing is written. The
 * caller closes it.
 */
public final class SchemeComparison implements AutoCloseable {

    private static final int BATCH = 4;

    private final ModelDirectory files;
    private final ModelConfig config;
    private final Optional<Scored> scored;
    private Histogram original;

    /**
     * What perplexity is measured with.
     *
     * @param model the same model, opened unquantized; it stays its owner's, with the last scheme's weights in it
     * @param rows what it is to predict
     */
    public record Scored(LanguageModel model, Dataset rows) {

        /** The perplexity as the model's weights are now. */
        public double perplexity() {
            return Evaluation.of(model.decoder(), rows, BATCH).perplexity();
        }
    }

    private SchemeComparison(ModelDirectory files, ModelConfig config, Optional<Scored> scored) {
        this.files = files;
        this.config = config;
        this.scored = scored;
    }

    /**
     * Opens a model.
     *
     * @throws io.github.qlora4j.quant.QloraException if it cannot be read, or is quantized already
     */
    public static SchemeComparison open(Path model, Optional<Scored> scored) {
        ModelConfig config = ModelConfig.read(model);
        ModelDirectory files = ModelDirectory.open(model);
        try {
            FakeQuantizer.checkUnquantized(files);
            return new SchemeComparison(files, config, scored);
        } catch (RuntimeException e) {
            files.close();
            throw e;
        }
    }

    /** The full name of a linear layer's weight. */
    private static String weight(int layer, Family.Linear linear) {
        return "model.layers." + layer + "." + linear.name() + ".weight";
    }

    /** The model's own weights; empty before the first scheme was compared. */
    public Optional<Histogram> original() {
        return Optional.ofNullable(original);
    }

    /** The first weights of the first linear layer, for pictures. */
    public float[] example(int atMost) {
        try (NDManager manager = Torch.newManager()) {
            float[] all = Torch.toFloats(files.read(
                    manager, weight(0, config.family().linears(config).get(0))));
            return java.util.Arrays.copyOf(all, Math.min(atMost, all.length));
        }
    }

    /** Sends all linear layers through a scheme. */
    public Compared compare(Scheme scheme) {
        Histogram before = Histogram.ofWeights();
        Histogram after = Histogram.ofWeights();
        List<Fidelity> layers = new ArrayList<>();
        for (int layer = 0; layer < config.numHiddenLayers(); layer++) {
            Fidelity lost = Fidelity.NONE;
            for (Family.Linear linear : config.family().linears(config)) {
                RoundTrip trip = RoundTrip.of(scheme, files, weight(layer, linear));
                lost = lost.plus(trip.fidelity());
                after.add(trip.back());
                if (original == null) {
                    before.add(trip.original());
                }
                if (scored.isPresent()) {
                    replace(scored.get().model(), layer, linear, trip);
                }
            }
            layers.add(lost);
        }
        if (original == null) {
            original = before;
        }
        OptionalDouble perplexity =
                scored.isPresent() ? OptionalDouble.of(scored.get().perplexity()) : OptionalDouble.empty();
        return new Compared(scheme, layers, after, perplexity);
    }

    /** Rounds a tensor to its stored dtype, as it would be in a file, and on to that of the model. */
    private void replace(LanguageModel model, int layer, Family.Linear linear, RoundTrip trip) {
        DenseWeight weight = (DenseWeight)
                model.decoder().base().layers().get(layer).linears().get(linear.name());
        try (NDManager manager = Torch.newManager();
                Scratch unused = new Scratch()) {
            Torch.assign(
                    weight.dense(model.decoder().base().stream(), unused),
                    trip.restored(manager, files.info(weight(layer, linear)).dtype()));
        }
    }

    @Override
    public void close() {
        files.close();
    }
}
