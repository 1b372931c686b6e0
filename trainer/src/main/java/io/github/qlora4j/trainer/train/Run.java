package io.github.qlora4j.trainer.train;

import ai.djl.ndarray.NDManager;
import io.github.qlora4j.peft.Adapter;
import io.github.qlora4j.peft.AdapterConfigFile;
import io.github.qlora4j.peft.LoraConfig;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.config.AdapterDtype;
import io.github.qlora4j.trainer.config.IntervalStrategy;
import io.github.qlora4j.trainer.config.LoadedConfig;
import io.github.qlora4j.trainer.config.RunConfig;
import io.github.qlora4j.trainer.config.TrainingSection;
import io.github.qlora4j.trainer.data.BatchPlan;
import io.github.qlora4j.trainer.data.TrainingData;
import io.github.qlora4j.trainer.model.BaseModel;
import io.github.qlora4j.trainer.model.BaseOptions;
import io.github.qlora4j.trainer.model.BaseSetup;
import io.github.qlora4j.trainer.model.Decoder;
import io.github.qlora4j.trainer.model.ModelConfig;
import io.github.qlora4j.trainer.model.Modules;
import io.github.qlora4j.trainer.model.Recomputation;
import io.github.qlora4j.trainer.model.Trained;
import io.github.qlora4j.trainer.optim.Clipping;
import io.github.qlora4j.trainer.optim.Optimizer;
import io.github.qlora4j.trainer.optim.OptimizerConfig;
import io.github.qlora4j.trainer.optim.Parameter;
import io.github.qlora4j.trainer.optim.Schedule;
import io.github.qlora4j.trainer.report.Rss;
import io.github.qlora4j.trainer.tokenizer.Tokenizer;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * A run with everything it needs, opened in the order in which mistakes are cheapest to find: directory, rows, model
 * configuration, checkpoint, room on the disk; then the base, the adapter and the optimizer.
 */
final class Run implements AutoCloseable {

    private final Deque<AutoCloseable> opened = new ArrayDeque<>();
    private final RunListener listener;
    private final long freeAtStart = Rss.freeBytes();

    private RunDirectory directory;
    private RunConfig config;
    private TrainingData data;
    private BatchPlan plan;
    private String baseFingerprint;
    private Optional<ResumePoint> resumed = Optional.empty();
    private BaseModel base;
    private Adapter adapter;
    private AdapterConfigFile adapterConfig;
    private Decoder decoder;
    private Tokenizer tokenizer;
    private Optimizer optimizer;
    private TrainingStep step;

    private Run(RunListener listener) {
        this.listener = listener;
    }

    static Run open(LoadedConfig loaded, Trainer.Start start, RunListener listener) {
        Run run = new Run(listener);
        try {
            run.prepare(loaded, start);
            return run;
        } catch (RuntimeException | Error e) {
            run.close();
            throw e;
        }
    }

    private void prepare(LoadedConfig loaded, Trainer.Start start) {
        RunConfig asked = loaded.config();
        TrainingSection training = asked.training();
        if (training.threads() > 0) {
            Torch.setThreads(training.threads());
        }
        listener.preparing("reading " + asked.model().path());
        ModelConfig model = ModelConfig.read(asked.model().path());
        List<String> modelFiles = BaseFiles.stamp(asked.model().path());
        BaseOptions options = BaseSetup.options(asked);
        LoraConfig lora = startingAdapter(loaded, model);
        if (asked.lora().adapter() == null) {
            AdapterSetup.plan(lora, model);
        } else {
            AdapterConfigFile.named(asked.lora().adapter(), () -> AdapterSetup.plan(lora, model));
        }
        config = Resolved.of(asked, model, options, Torch.threads());

        listener.preparing("reading " + shown(asked.data().train()));
        tokenizer = keep(Tokenizer.load(asked.model().path()));
        if (tokenizer.vocabSize() > model.vocabSize()) {
            listener.warning("the tokenizer has " + tokenizer.vocabSize() + " tokens, the model " + model.vocabSize());
        }
        data = TrainingData.load(asked.data(), training.seed(), tokenizer);
        checkIds(model);
        plan = new BatchPlan(
                data.train(),
                new BatchPlan.Order(
                        training.perDeviceTrainBatchSize(),
                        training.gradientAccumulationSteps(),
                        asked.data().shuffle(),
                        training.rowSeed(),
                        asked.data().packing() ? asked.data().maxLength() : 0));

        directory = keep(RunDirectory.take(training.outputDir()));
        baseFingerprint = BaseFiles.fingerprint(asked.model().path());
        takeUp(start);

        listener.preparing(options.scheme()
                .map(scheme -> "loading and quantizing the base to " + scheme)
                .orElse("loading the base"));
        base = keep(BaseModel.load(asked.model().path(), options));
        BaseFiles.requireUnchanged(asked.model().path(), modelFiles);
        NDManager tensors = keep(Torch.newManager());
        adapter = adapter(tensors, loaded, model, lora);
        adapterConfig =
                AdapterConfigFile.of(adapter.config(), asked.model().path().toString());
        Trained trained = keep(Trained.of(model, adapter));
        decoder = keep(new Decoder(base, trained));
        OptimizerConfig optim = new OptimizerConfig(
                training.optim(),
                training.adamBeta1(),
                training.adamBeta2(),
                training.adamEpsilon(),
                training.weightDecay(),
                training.pagedResident().bytes(),
                directory.path());
        directory.requireRoom(room(optim, trained));
        optimizer = keep(Optimizer.create(
                optim,
                trained.parameters().stream()
                        .map(p -> new Parameter(p.name(), p.value()))
                        .toList()));
        resumed.ifPresent(point -> optimizer.load(point.checkpoint().resolve(Checkpoint.OPTIMIZER)));
        step = keep(new TrainingStep(
                decoder, optimizer, new Clipping(training.maxGradNorm()), recomputation(), training.seed()));
    }

    private LoraConfig startingAdapter(LoadedConfig loaded, ModelConfig model) {
        Path from = loaded.config().lora().adapter();
        if (from == null) {
            return AdapterSettings.of(loaded.config().lora());
        }
        LoraConfig stored = AdapterConfigFile.read(from).lora();
        AdapterSetup.checkAgainst(stored, loaded);
        return stored;
    }

    /** The first of many files. */
    private static String shown(List<String> files) {
        int most = 3;
        return String.join(", ", files.subList(0, Math.min(most, files.size())))
                + (files.size() > most ? " and " + (files.size() - most) + " more" : "");
    }

    private void checkIds(ModelConfig model) {
        int largest = data.train().largestId();
        if (data.eval().isPresent()) {
            largest = Math.max(largest, data.eval().get().largestId());
        }
        if (largest >= model.vocabSize()) {
            throw new QloraException("data: a row has token " + largest + ", but the model's vocab_size is "
                    + model.vocabSize() + "; the tokenizer does not belong to this model");
        }
    }

    /** Decides between a new run and going on, and leaves the directory ready for it. */
    private void takeUp(Trainer.Start start) {
        if (start == Trainer.Start.OVERWRITE) {
            directory.clear();
        } else if (start == Trainer.Start.NEW && directory.isUsed()) {
            throw new QloraException("training.output_dir: " + directory.path()
                    + " holds a run already\n  Go on with it by --resume, or delete it and start anew by --overwrite.");
        } else if (start == Trainer.Start.RESUME) {
            resumed = ResumePoint.newest(directory, listener);
            if (resumed.isEmpty()) {
                listener.warning("no usable checkpoint in " + directory.path() + ": starting anew");
                directory.clear();
            } else {
                resumed.get().check(config, data.train().fingerprint(), baseFingerprint, listener);
            }
        }
        directory.clearLeftOvers();
    }

    private Adapter adapter(NDManager tensors, LoadedConfig loaded, ModelConfig model, LoraConfig lora) {
        Dtype dtype = config.lora().dtype() == AdapterDtype.FLOAT32 ? Dtype.FLOAT32 : Dtype.BFLOAT16;
        Path from = resumed.map(ResumePoint::checkpoint)
                .orElse(loaded.config().lora().adapter());
        if (from == null) {
            return AdapterSetup.create(
                    tensors, lora, dtype, base, loaded.config().training().seed());
        }
        return Adapter.load(tensors, from, Modules.of(model), model.modelType(), dtype);
    }

    /** Bytes that the run may have on the disk at once. */
    private long room(OptimizerConfig optim, Trained trained) {
        long weights = trained.parameters().stream()
                .mapToLong(p -> Torch.byteSize(p.value()))
                .sum();
        long state = trained.parameters().stream()
                .mapToLong(p -> optim.stateBytes(p.value().getShape().size(), Torch.dtype(p.value())))
                .sum();
        return checkpoints() * (weights + state + (1 << 20))
                + weights
                + (optim.name().paged() ? state : 0);
    }

    /** Checkpoints that stand at once, the one being written included. */
    private long checkpoints() {
        TrainingSection training = config.training();
        Integer limit = training.saveTotalLimit();
        if (limit != null) {
            return Math.max(limit, training.loadBestModelAtEnd() ? 2 : 1) + 1L;
        }
        // each evaluation may be the best so far
        boolean best = training.loadBestModelAtEnd() && training.evalStrategy() == IntervalStrategy.STEPS;
        return totalSteps() / (best ? training.evalSteps() : training.saveSteps()) + 1;
    }

    private Recomputation recomputation() {
        TrainingSection training = config.training();
        return switch (training.gradientCheckpointing()) {
            case TRUE -> new Recomputation.All();
            case FALSE -> new Recomputation.None();
            case AUTO -> {
                long budget = training.memoryBudget() == null
                        ? freeAtStart / 4 * 3
                        : training.memoryBudget().bytes();
                yield new Recomputation.Within(Math.max(
                        0,
                        budget - Rss.bytes() - Recomputation.leastBytes(base.config(), base.stream(), longestBatch())));
            }
        };
    }

    /** Tokens of the largest batch there can be. */
    private long longestBatch() {
        return (long) config.training().perDeviceTrainBatchSize()
                * config.data().maxLength();
    }

    private <T extends AutoCloseable> T keep(T part) {
        opened.push(part);
        return part;
    }

    TrainingResult train(AtomicBoolean cancelled) {
        return new Loop(this, cancelled).run();
    }

    RunListener listener() {
        return listener;
    }

    RunDirectory directory() {
        return directory;
    }

    /** The configuration with nothing left to choose. */
    RunConfig config() {
        return config;
    }

    TrainingData data() {
        return data;
    }

    BatchPlan plan() {
        return plan;
    }

    Optional<ResumePoint> resumed() {
        return resumed;
    }

    Decoder decoder() {
        return decoder;
    }

    Tokenizer tokenizer() {
        return tokenizer;
    }

    Adapter adapter() {
        return adapter;
    }

    AdapterConfigFile adapterConfig() {
        return adapterConfig;
    }

    Optimizer optimizer() {
        return optimizer;
    }

    TrainingStep step() {
        return step;
    }

    String baseFingerprint() {
        return baseFingerprint;
    }

    int totalSteps() {
        return plan.totalSteps(
                config.training().numTrainEpochs(), config.training().maxSteps());
    }

    Schedule schedule() {
        TrainingSection training = config.training();
        int total = totalSteps();
        return Schedule.of(
                training.lrSchedulerType(),
                training.lrSchedulerKwargs(),
                training.learningRate(),
                training.warmup(total),
                total);
    }

    @Override
    public void close() {
        List<Exception> failed = new ArrayList<>();
        while (!opened.isEmpty()) {
            try {
                opened.pop().close();
            } catch (Exception e) {
                failed.add(e);
            }
        }
        if (!failed.isEmpty()) {
            throw new QloraException(
                    "the run could not be closed: " + failed.get(0).getMessage(), failed.get(0));
        }
    }
}
