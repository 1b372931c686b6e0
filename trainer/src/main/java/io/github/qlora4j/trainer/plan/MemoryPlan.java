package io.github.qlora4j.trainer.plan;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.WeightBytes;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.trainer.model.Family.Linear;
import io.github.qlora4j.trainer.model.ModelConfig;
import io.github.qlora4j.trainer.model.Recomputation;
import io.github.qlora4j.trainer.report.Figures;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.ToLongFunction;

/**
 * Where a run's memory goes, counted from {@code config.json} and the settings before anything is loaded.
 *
 * <p>Weights, adapters, gradients and optimizer state are exact. Activations and workspaces follow what the decoder keeps
 * (input, attention's result and log-sum-exp, and the residual after attention, of a layer that is computed again; all of
 * it otherwise) at {@code max_length} in every row, so a run with shorter rows takes less.
 *
 * @param shape the model
 * @param settings the run
 * @param stages load, forward and backward, optimizer update
 */
public record MemoryPlan(ModelShape shape, PlanSettings settings, List<Stage> stages) {
    /** JVM, libtorch and the tokenizer before a weight is loaded, as measured on Linux. */
    static final long PROGRAM = 300_000_000;

    private static final long NESTED_BLOCK = 256;

    /** Memory of one kind. */
    public record Item(String name, long bytes) {}

    /** What stands in memory at the same time. */
    public record Stage(String name, List<Item> items) {
        /** Copies the list without what takes nothing. */
        public Stage {
            items = items.stream().filter(item -> item.bytes() > 0).toList();
        }

        /** The sum of all items. */
        public long bytes() {
            return items.stream().mapToLong(Item::bytes).sum();
        }
    }

    /** Plans a run. */
    public static MemoryPlan of(ModelShape shape, PlanSettings settings) {
        Counter counter = new Counter(shape, settings);
        return new MemoryPlan(shape, settings, List.of(counter.load(), counter.step(), counter.update()));
    }

    /**
     * Plans a run with as few layers computed again as a budget allows; all of them where even that is too much.
     *
     * @param budget bytes that the peak should stay under
     */
    public static MemoryPlan within(ModelShape shape, PlanSettings settings, long budget) {
        for (int recomputed = 0; recomputed < shape.layers(); recomputed++) {
            MemoryPlan plan = of(shape, settings.recomputing(recomputed));
            if (plan.peakBytes() <= budget) {
                return plan;
            }
        }
        return of(shape, settings.recomputing(shape.layers()));
    }

    /** Trained parameters. */
    public long trainable() {
        return settings.adapter().total();
    }

    /** All parameters as peft counts them: the base, the adapter, and the copies of modules that are saved whole. */
    public long parameters() {
        return shape.parameters()
                + settings.adapter().lora()
                + settings.adapter().saved();
    }

    /**
     * The base as transformers' {@code get_memory_footprint} counts it: scales of bitsandbytes' quantization are not in it,
     * those of GPTQ and AWQ are.
     */
    public long footprintBytes() {
        // Two tables of rotary frequencies in float32.
        long buffers = shape.config().headDim() * Float.BYTES;
        long rest = shape.parameters() - shape.layers() * shape.blockWeights();
        int restBytes = settings.upcast() ? Float.BYTES : settings.dtype().bytes();
        return settings.quantized() == null
                ? shape.parameters() * settings.dtype().bytes() + buffers
                : new Counter(shape, settings).quantized(WeightBytes::stored)
                        + new Counter(shape, settings).leftOut() * restBytes
                        + rest * restBytes
                        + buffers;
    }

    /** The largest stage. */
    public long peakBytes() {
        return stages.stream().mapToLong(Stage::bytes).max().orElse(0);
    }

    /** The plan as a table for people. */
    public List<String> lines() {
        List<String> lines = new ArrayList<>();
        lines.add("memory footprint of the base: " + Figures.bytes(footprintBytes()) + "; planned peak: "
                + Figures.bytes(peakBytes()));
        for (Stage stage : stages) {
            lines.add(String.format(Locale.ROOT, "  %-28s %9s", stage.name(), Figures.bytes(stage.bytes())));
            for (Item item : stage.items()) {
                lines.add(String.format(Locale.ROOT, "    %-42s %9s", item.name(), Figures.bytes(item.bytes())));
            }
        }
        return lines;
    }

    /** The plan as one JSON object, bytes throughout. */
    public JsonObject json() {
        JsonObject json = new JsonObject();
        json.addProperty("model_type", shape.config().modelType());
        json.addProperty("base_parameters", shape.parameters());
        json.addProperty("parameters", parameters());
        json.addProperty("trainable_parameters", trainable());
        json.addProperty("footprint_bytes", footprintBytes());
        json.addProperty("recomputed_layers", settings.recomputedLayers());
        json.addProperty("peak_bytes", peakBytes());
        JsonArray list = new JsonArray();
        for (Stage stage : stages) {
            JsonObject one = new JsonObject();
            one.addProperty("stage", stage.name());
            one.addProperty("bytes", stage.bytes());
            JsonObject items = new JsonObject();
            stage.items().forEach(item -> items.addProperty(item.name(), item.bytes()));
            one.add("items", items);
            list.add(one);
        }
        json.add("stages", list);
        return json;
    }

    /** The arithmetic. */
    private record Counter(ModelShape shape, PlanSettings settings) {

        Stage load() {
            List<Item> items = base();
            long largest = shape.linears().stream()
                    .mapToLong(ModelShape::weights)
                    .max()
                    .orElse(0L);
            int stored = shape.dtype().bytes();
            if (settings.quantized() != null) {
                long work = shape.linears().stream()
                        .mapToLong(linear -> settings.quantized().work(linear, shape.dtype()))
                        .max()
                        .orElse(0L);
                items.add(new Item(
                        "the largest tensor while it is " + settings.quantized().madeReady(), work));
            } else if (settings.dtype() != shape.dtype()) {
                items.add(new Item(
                        "the largest tensor while it is cast", Math.max(largest, shape.embeddings()) * stored));
            }
            return new Stage("load", items);
        }

        Stage step() {
            List<Item> items = base();
            items.addAll(trained());
            items.add(new Item("gradients (float32)", settings.adapter().total() * Float.BYTES));
            items.add(new Item("a layer's weights, dequantized or cast", scratch()));
            ModelConfig config = shape.config();
            Dtype stream = settings.upcast() ? Dtype.FLOAT32 : settings.dtype();
            long recomputed = settings.recomputedLayers();
            long whole = shape.layers() - recomputed;
            long kept = Recomputation.keptBytesPerToken(config, stream);
            long parts = Recomputation.partsBytesPerToken(config, stream);
            items.add(new Item("activations of layers computed again", recomputed * settings.tokens() * kept));
            items.add(new Item("activations of layers kept whole", whole * settings.tokens() * (kept + parts)));
            items.add(
                    new Item("the layer in work", settings.tokens() * Recomputation.workBytesPerToken(config, stream)));
            items.add(new Item(
                    "a chunk of the head, or attention's scores",
                    Recomputation.onceBytes(config, stream, settings.tokens())
                            + settings.tokens() * (long) config.hiddenSize() * stream.bytes()));
            return new Stage("forward and backward", items);
        }

        Stage update() {
            List<Item> items = base();
            items.addAll(trained());
            long trained = settings.adapter().total();
            items.add(new Item("gradients (float32)", trained * Float.BYTES));
            items.add(new Item("optimizer state", resident(state(trained))));
            return new Stage("optimizer update", items);
        }

        private List<Item> base() {
            List<Item> items = new ArrayList<>();
            long rest = settings.upcast() ? Float.BYTES : settings.dtype().bytes();
            long linears = shape.layers() * shape.blockWeights();
            items.add(new Item("program and libraries", PROGRAM));
            Resident resident = Resident.of(settings.placement(), shape);
            items.add(new Item("embeddings", resident.embeddings() ? shape.embeddings() * rest : 0));
            items.add(new Item("head", resident.head() ? shape.head() * rest : 0));
            items.add(new Item("norms and biases", (shape.norms() + shape.biases()) * rest));
            long codes =
                    settings.quantized() == null ? linears * settings.dtype().bytes() : quantized(WeightBytes::codes);
            long scales = settings.quantized() == null ? 0 : quantized(WeightBytes::scales);
            long left = settings.quantized() == null ? 0 : leftOut() * rest;
            items.add(new Item(
                    settings.quantized() == null
                            ? "linear layers"
                            : "linear layers, " + settings.quantized().codes(),
                    resident.share(codes)));
            if (settings.quantized() != null) {
                items.add(new Item("linear layers, scales", resident.share(scales)));
                items.add(new Item("linear layers left as they are", resident.share(left)));
            }
            items.add(new Item(
                    "what is read from the disk, in use and next",
                    resident.fromDisk((codes + scales + left) / shape.layers(), shape.embeddings() * rest)));
            return items;
        }

        private List<Item> trained() {
            long trained = settings.adapter().total();
            boolean master = settings.adapterDtype() != Dtype.FLOAT32;
            long state = master && !settings.optimizer().paged() ? trained * Float.BYTES : 0;
            List<Item> items = new ArrayList<>();
            items.add(new Item("adapter", trained * settings.adapterDtype().bytes()));
            items.add(new Item("adapter's float32 master copy", state));
            if (!settings.optimizer().paged()) {
                items.add(new Item("optimizer state", moments(trained)));
            }
            return items;
        }

        /** State that an update brings in beyond what stands in memory anyway. */
        private long state(long trained) {
            boolean master = settings.adapterDtype() != Dtype.FLOAT32;
            return settings.optimizer().paged() ? moments(trained) + (master ? trained * Float.BYTES : 0) : 0;
        }

        private long resident(long state) {
            return Math.min(state, settings.pagedResident());
        }

        private long moments(long trained) {
            return settings.optimizer().eightBit()
                    ? 2 * (trained + scales(trained, NESTED_BLOCK))
                    : 2 * trained * Float.BYTES;
        }

        /** Bytes of one kind, of all linear layers that are quantized. */
        long quantized(ToLongFunction<WeightBytes> kind) {
            return linears(
                    false, linear -> kind.applyAsLong(settings.quantized().bytes(linear)));
        }

        /** Elements of the linear layers of a quantized base that are kept as they are. */
        long leftOut() {
            return linears(true, ModelShape::weights);
        }

        private long linears(boolean leftOut, ToLongFunction<Linear> bytes) {
            long sum = 0;
            for (int i = 0; i < shape.layers(); i++) {
                for (Linear linear : shape.linears()) {
                    if (settings.quantized().leavesOut("model.layers." + i + "." + linear.name()) == leftOut) {
                        sum += bytes.applyAsLong(linear);
                    }
                }
            }
            return sum;
        }

        private static long scales(long elements, long blocksize) {
            return blocks(elements, blocksize) * Float.BYTES;
        }

        private static long blocks(long elements, long blocksize) {
            return (elements + blocksize - 1) / blocksize;
        }

        private long scratch() {
            boolean asStored = settings.quantized() == null && settings.dtype() == settings.compute();
            return asStored ? 0 : shape.blockWeights() * settings.compute().bytes();
        }
    }
}
