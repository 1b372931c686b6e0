package io.github.qlora4j.quant.scheme;

import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.FourBitCheckpoint;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.NewDirectory;
import io.github.qlora4j.quant.internal.Reason;
import io.github.qlora4j.quant.internal.StrictJson;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.safetensors.ShardedSafetensorsWriter;
import io.github.qlora4j.quant.safetensors.TensorSpec;
import io.github.qlora4j.quant.torch.Torch;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;

/**
 * Writes a model whose weights went through a scheme and back: an ordinary directory in the model's own dtypes, which
 * loads, generates and is scored like any other, with what the scheme has left of the weights.
 *
 * <p>It is no smaller than the model; {@link io.github.qlora4j.quant.ModelQuantizer} writes one that is. One tensor is in
 * memory at a time.
 *
 * @param scheme what the weights go through
 */
public record FakeQuantizer(Scheme scheme) {

    /**
     * Writes the model.
     *
     * @param model the directory to read, unquantized
     * @param output the directory to make; it must not be there, or be empty
     * @param weights picks the tensors that go through the scheme, by full name; a vector counts as one row
     * @return what each of them lost, before it was rounded to its dtype, in the order of the files
     * @throws QloraException if the model cannot be read, is quantized already, has no such tensor, or the output cannot
     *     be written
     */
    public Map<String, Fidelity> quantize(Path model, Path output, Predicate<String> weights) {
        try (ModelDirectory source = ModelDirectory.open(model)) {
            checkUnquantized(source);
            List<String> names = source.names().stream().filter(weights).toList();
            if (names.isEmpty()) {
                throw new QloraException(
                        model + ": none of its " + source.names().size() + " tensors was picked to be quantized");
            }
            List<TensorSpec> specs = new ArrayList<>();
            source.names()
                    .forEach(name -> specs.add(new TensorSpec(
                            name, source.info(name).dtype(), source.info(name).shape())));
            long bytes = specs.stream().mapToLong(TensorSpec::byteLength).sum();
            try (NewDirectory directory = NewDirectory.begin(output, bytes)) {
                Map<String, Fidelity> lost = write(source, names, specs, directory.path());
                directory.copyOthers(model);
                Files.copy(model.resolve("config.json"), directory.path().resolve("config.json"));
                directory.finish();
                return lost;
            }
        } catch (IOException e) {
            throw new QloraException(output + ": cannot be written: " + Reason.of(e), e);
        }
    }

    private Map<String, Fidelity> write(
            ModelDirectory source, List<String> names, List<TensorSpec> specs, Path directory) {
        Map<String, Fidelity> lost = new LinkedHashMap<>();
        try (ShardedSafetensorsWriter writer = ShardedSafetensorsWriter.create(
                directory, Map.of("format", "pt"), specs, ShardedSafetensorsWriter.DEFAULT_SHARD_BYTES)) {
            for (TensorSpec spec : specs) {
                try (NDManager manager = Torch.newManager()) {
                    if (names.contains(spec.name())) {
                        RoundTrip trip = RoundTrip.of(scheme, source, spec.name());
                        lost.put(spec.name(), trip.fidelity());
                        writer.write(spec.name(), trip.restored(manager, spec.dtype()));
                    } else {
                        writer.write(spec.name(), source.read(manager, spec.name()));
                    }
                }
            }
            writer.finish();
        }
        return lost;
    }

    /**
     * Checks that a model's weights are there as numbers.
     *
     * @throws QloraException if they are quantized already
     */
    public static void checkUnquantized(ModelDirectory source) {
        boolean said =
                StrictJson.readObject(source.path().resolve("config.json")).has("quantization_config");
        if (said || FourBitCheckpoint.isQuantized(source)) {
            throw new QloraException(source.path() + ": this model is quantized already");
        }
    }
}
