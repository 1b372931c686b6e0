package io.github.qlora4j.trainer.bench;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.DenseWeight;
import io.github.qlora4j.quant.LinearWeight;
import io.github.qlora4j.quant.MatrixQuantizer;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.bench.BenchPlan.Cell;
import io.github.qlora4j.trainer.data.Example;
import io.github.qlora4j.trainer.data.PackedRows;
import io.github.qlora4j.trainer.generate.Generator;
import io.github.qlora4j.trainer.generate.Sampling;
import io.github.qlora4j.trainer.model.BaseModel;
import io.github.qlora4j.trainer.model.BaseOptions;
import io.github.qlora4j.trainer.model.CachedDecoder;
import io.github.qlora4j.trainer.model.Decoder;
import io.github.qlora4j.trainer.model.ModelConfig;
import io.github.qlora4j.trainer.model.StoredQuantization;
import io.github.qlora4j.trainer.model.Trained;
import io.github.qlora4j.trainer.report.Figures;
import io.github.qlora4j.trainer.report.Rss;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;

/**
 * Measures one scheme in this JVM: quantizing, then loading, then generation, then forward passes, the larger ones last.
 *
 * <p>Rows are of random tokens; what they cost does not depend on which.
 */
final class SchemeBench {

    /** Runs of each thing that do not count: libraries compile kernels, and memory is fetched from the system. */
    static final int WARM_UP = 1;

    private final BenchPlan plan;
    private final BenchScheme scheme;
    private final Path work;
    private final Consumer<Message> out;
    private final ModelConfig config;
    private final BaseOptions options;
    private final Random random = new Random(0);
    private long done;

    SchemeBench(BenchPlan plan, Path work, Consumer<Message> out) {
        this.plan = plan;
        this.scheme = plan.schemes().get(0);
        this.work = work;
        this.out = out;
        Path model = Path.of(plan.model());
        this.config = ModelConfig.read(model);
        this.options = scheme.options(model, plan.compute());
    }

    void run() {
        Path model = Path.of(plan.model());
        Double quantized = null;
        Optional<MatrixQuantizer> quantizer = BenchScheme.quantizer(options);
        QuantizingBench quantizing = new QuantizingBench(model, config, WARM_UP, plan.rounds());
        if (quantizer.isPresent()) {
            doing("quantizing");
            Dtype dtype = options.dtype().or(config::dtype).orElse(Dtype.FLOAT32);
            quantized = quantizing.measure(quantizer.get(), dtype);
        } else if (scheme.calibrated().isPresent()) {
            doing("quantizing with calibration");
            quantized = quantizing.measure(scheme.calibrated().get(), work, this::row, this::calibrating);
            model = work;
        }
        Torch.giveBackFreedMemory();
        doing("loading");
        long start = System.nanoTime();
        try (BaseModel base = BaseModel.load(model, options)) {
            double load = (System.nanoTime() - start) / 1e9;
            out.accept(Message.of(loaded(base, quantized, load)));
            try (Trained trained = new Trained(config.numHiddenLayers());
                    Decoder decoder = new Decoder(base, trained)) {
                generate(decoder);
                forward(decoder);
            }
        }
        doing("done");
    }

    private void calibrating(int blocks, int all) {
        doing("calibrating, block " + blocks + "/" + all);
    }

    private void doing(String what) {
        out.accept(Message.doing(what, done));
    }

    private Loaded loaded(BaseModel base, Double quantized, double seconds) {
        long bytes = 0;
        long weights = 0;
        LinearWeight first = null;
        for (BaseModel.Layer layer : base.layers()) {
            for (LinearWeight weight : layer.linears().values()) {
                bytes += weight.bytes();
                weights += weight.rows() * weight.cols();
                first = first == null ? weight : first;
            }
        }
        boolean dense = first instanceof DenseWeight;
        Torch.giveBackFreedMemory();
        return new Loaded(
                name(base, dense),
                (dense || first.hasOwnProduct() ? base.stream() : computed(base)).torchName(),
                base.bytes(),
                8.0 * bytes / weights,
                quantized,
                seconds,
                Rss.bytes() == 0 ? null : Long.valueOf(Rss.bytes()),
                Torch.threads());
    }

    /** What a stored model is in: the scheme of its files, or its dtype. */
    private String name(BaseModel base, boolean dense) {
        if (scheme != BenchScheme.STORED) {
            return scheme.key();
        }
        StoredQuantization stored = StoredQuantization.of(base.directory(), config, options);
        return dense
                ? base.stream().torchName()
                : stored.options()
                        .scheme()
                        .map(name -> name
                                + (stored.options()
                                                .fourBit()
                                                .filter(f -> f.doubleQuant())
                                                .isPresent()
                                        ? "-double"
                                        : ""))
                        .orElseGet(stored.scheme()::name);
    }

    private Dtype computed(BaseModel base) {
        return StoredQuantization.of(base.directory(), base.config(), options)
                .options()
                .compute();
    }

    private void generate(Decoder decoder) {
        try (CachedDecoder cached = new CachedDecoder(decoder)) {
            doing("keeping weights for generation");
            cached.keepWeights(Rss.freeBytes() / 2); // as generate does
            String tooMuch = null;
            for (Cell cell : plan.cells()) {
                doing("generation " + cell);
                String why = tooMany(cell.length() + plan.newTokens())
                        .or(() -> lacking(cell, true))
                        .orElse(tooMuch);
                if (why == null) {
                    try {
                        out.accept(Message.of(generation(cached, cell)));
                    } catch (RuntimeException | OutOfMemoryError e) {
                        tooMuch = "fewer tokens, " + cell + ": " + BenchWorker.why(e);
                        why = BenchWorker.why(e);
                    }
                }
                if (why != null) {
                    out.accept(Message.of(Generation.skipped(cell, plan.newTokens(), why)));
                }
                done += (WARM_UP + plan.rounds()) * (cell.tokens() + BenchPlan.GENERATED * plan.newTokens());
            }
        }
    }

    private Generation generation(CachedDecoder cached, Cell cell) {
        List<int[]> prompts = new ArrayList<>();
        for (int i = 0; i < cell.batch(); i++) {
            prompts.add(row(cell.length()));
        }
        double[] first = new double[WARM_UP + plan.rounds()];
        double[] others = new double[first.length];
        boolean told = freshPeak();
        for (int round = 0; round < first.length; round++) {
            long start = System.nanoTime();
            AtomicLong begun = new AtomicLong();
            new Generator(cached).generateEach(prompts, plan.newTokens(), Sampling.GREEDY, Set.of(), () -> {
                begun.compareAndSet(0, System.nanoTime()); // asked first when all have their first token
                return false;
            });
            first[round] = (begun.get() - start) / 1e9;
            others[round] = (System.nanoTime() - begun.get()) / 1e9;
        }
        Long peak = told ? Long.valueOf(Rss.peakBytes()) : null;
        return Generation.measured(cell, plan.newTokens(), median(first), median(others), peak);
    }

    private void forward(Decoder decoder) {
        String tooMuch = null;
        for (Cell cell : plan.cells()) {
            doing("forward " + cell);
            String why = tooMany(cell.length()).or(() -> lacking(cell, false)).orElse(tooMuch);
            if (why == null) {
                try {
                    out.accept(Message.of(pass(decoder, cell)));
                } catch (RuntimeException | OutOfMemoryError e) {
                    tooMuch = "fewer tokens, " + cell + ": " + BenchWorker.why(e);
                    why = BenchWorker.why(e);
                }
            }
            if (why != null) {
                out.accept(Message.of(Pass.skipped(cell, why)));
            }
            done += (WARM_UP + plan.rounds()) * cell.tokens();
        }
    }

    private Pass pass(Decoder decoder, Cell cell) {
        List<Example> rows = new ArrayList<>();
        for (int i = 0; i < cell.batch(); i++) {
            int[] ids = row(cell.length());
            int[] labels = new int[ids.length];
            Arrays.fill(labels, Example.MASKED);
            labels[labels.length - 1] = ids[0]; // the head at the last place that has a target
            rows.add(new Example(ids, labels));
        }
        PackedRows packed = PackedRows.of(rows);
        double[] seconds = new double[WARM_UP + plan.rounds()];
        boolean told = freshPeak();
        for (int round = 0; round < seconds.length; round++) {
            long start = System.nanoTime();
            try (NDManager manager = Torch.newManager()) {
                NDArray hidden = decoder.encode(manager, packed);
                if (packed.learned() > 0) {
                    Torch.toFloats(decoder.logProbabilities(manager, hidden, packed));
                }
            }
            seconds[round] = (System.nanoTime() - start) / 1e9;
        }
        return Pass.measured(cell, median(seconds), told ? Long.valueOf(Rss.peakBytes()) : null);
    }

    /** Begins a new peak, without what earlier work left in malloc; false where the system keeps no peak. */
    private static boolean freshPeak() {
        Torch.giveBackFreedMemory();
        return Rss.resetPeak();
    }

    private Optional<String> tooMany(int positions) {
        return positions <= config.maxPositionEmbeddings()
                ? Optional.empty()
                : Optional.of(
                        positions + " positions, and max_position_embeddings is " + config.maxPositionEmbeddings());
    }

    /** What a pass is sure to need, where less is free; what is close to it is tried. */
    private Optional<String> lacking(Cell cell, boolean cached) {
        long bytes = options.upcast()
                ? Float.BYTES
                : options.dtype().or(config::dtype).orElse(Dtype.FLOAT32).bytes();
        // residuals and norm; queries, keys, values and attention's result; gate, up and their product
        long needed = cell.tokens() * bytes * (4L * config.hiddenSize() + 3L * config.intermediateSize());
        if (cached) {
            needed +=
                    2 * bytes * config.numHiddenLayers() * config.numKeyValueHeads() * config.headDim() * cell.tokens();
        }
        long free = Rss.freeBytes();
        return free == 0 || needed <= free
                ? Optional.empty()
                : Optional.of(
                        "it needs " + Figures.bytes(needed) + " or more, and " + Figures.bytes(free) + " are free");
    }

    private int[] row(int length) {
        return random.ints(length, 0, config.vocabSize()).toArray();
    }

    private static double median(double[] all) {
        return QuantizingBench.median(all, WARM_UP);
    }

    /** A directory that is quantized already; it is measured as it is. */
    static boolean isQuantized(Path model, ModelConfig config) {
        return config.quantization().isPresent()
                || StoredQuantization.of(model, config, BaseOptions.unquantized())
                        .scheme()
                        .name()
                        .matches("gptq|awq");
    }
}
