package io.github.qlora4j.trainer.compare;

import com.google.gson.JsonObject;
import io.github.qlora4j.quant.scheme.Fidelity;
import io.github.qlora4j.quant.scheme.Scheme;
import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;

/**
 * What a scheme does to a model.
 *
 * @param scheme the scheme
 * @param layers what the linear layers of each block lost
 * @param weights the dequantized weights
 * @param perplexity with the dequantized weights in the model, where there were rows to measure it on
 */
public record Compared(Scheme scheme, List<Fidelity> layers, Histogram weights, OptionalDouble perplexity) {

    /** Takes a copy of the list. */
    public Compared {
        layers = List.copyOf(layers);
    }

    /** What the whole model lost. */
    public Fidelity whole() {
        return layers.stream().reduce(Fidelity.NONE, Fidelity::plus);
    }

    /** {@code {scheme, granularity, bits_per_weight, mse, max_error, snr_db, perplexity}}; null is what there is not. */
    public JsonObject json() {
        JsonObject object = json(whole());
        object.addProperty("perplexity", perplexity.isPresent() ? perplexity.getAsDouble() : null);
        return object;
    }

    /** The same of one block, with its number for {@code layer} and without perplexity. */
    public JsonObject json(int layer) {
        JsonObject object = json(layers.get(layer));
        object.addProperty("layer", layer);
        return object;
    }

    private JsonObject json(Fidelity fidelity) {
        JsonObject object = new JsonObject();
        object.addProperty("scheme", scheme.name());
        object.addProperty("granularity", scheme.granularity().toString());
        object.addProperty("bits_per_weight", fidelity.bitsPerWeight());
        object.addProperty("mse", fidelity.mse());
        object.addProperty("max_error", fidelity.maxError());
        object.addProperty("snr_db", Double.isFinite(fidelity.snrDb()) ? fidelity.snrDb() : null);
        return object;
    }

    /** The cells of a table's row: scheme, granularity, bits, mean squared and largest error, signal to noise. */
    List<String> cells(Fidelity fidelity) {
        return List.of(
                scheme.name(),
                scheme.granularity().toString(),
                String.format(Locale.ROOT, "%.3f", fidelity.bitsPerWeight()),
                String.format(Locale.ROOT, "%.3e", fidelity.mse()),
                String.format(Locale.ROOT, "%.3e", fidelity.maxError()),
                String.format(Locale.ROOT, "%.2f", fidelity.snrDb()));
    }
}
