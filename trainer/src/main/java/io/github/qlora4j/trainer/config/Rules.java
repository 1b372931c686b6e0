package io.github.qlora4j.trainer.config;

import static io.github.qlora4j.trainer.config.IntervalStrategy.EPOCH;
import static io.github.qlora4j.trainer.config.IntervalStrategy.STEPS;

import io.github.qlora4j.quant.Int8Weight;
import io.github.qlora4j.quant.QuantType;
import java.util.List;

/** The rules that hold between keys. */
final class Rules {

    /** Takes a broken rule: the keys it is about, the one to name first, and what to do. */
    interface Sink {
        void broken(List<String> keys, String text);
    }

    private final ModelSection model;
    private final QuantizationSection quantization;
    private final LoraSection lora;
    private final DataSection data;
    private final TrainingSection t;
    private final Sink sink;

    private Rules(
            ModelSection model,
            QuantizationSection quantization,
            LoraSection lora,
            DataSection data,
            TrainingSection training,
            Sink sink) {
        this.model = model;
        this.quantization = quantization;
        this.lora = lora;
        this.data = data;
        this.t = training;
        this.sink = sink;
    }

    /** Checks all of them; {@code quantization} is null where the base is not quantized. */
    static void check(
            ModelSection model,
            QuantizationSection quantization,
            LoraSection lora,
            DataSection data,
            TrainingSection training,
            Sink sink) {
        Rules rules = new Rules(model, quantization, lora, data, training, sink);
        rules.placement();
        if (quantization != null) {
            rules.quantization();
        }
        rules.lora();
        rules.data();
        rules.schedule();
        rules.evaluation();
        rules.best();
        rules.unused();
    }

    private void placement() {
        boolean planned = model.deviceMap() instanceof DeviceMap.Planned;
        rule(
                model.maxMemory().isEmpty() || planned,
                "is used only with model.device_map: auto",
                "model.max_memory",
                "model.device_map");
        rule(
                model.offloadFolder() == null || model.deviceMap() != null,
                "is used only with model.device_map, for what it puts on the disk",
                "model.offload_folder",
                "model.device_map");
        rule(
                quantization == null
                        || !quantization.llmInt8EnableFp32CpuOffload()
                        || model.deviceMap() instanceof DeviceMap.Modules,
                "needs model.device_map to be a map that says which modules are on the disk",
                "quantization.llm_int8_enable_fp32_cpu_offload",
                "model.device_map");
    }

    private void quantization() {
        boolean eight = quantization.loadIn8bit();
        rule(
                !eight || !quantization.loadIn4bit(),
                "excludes quantization.load_in_4bit; use one of the two",
                "quantization.load_in_8bit",
                "quantization.load_in_4bit");
        rule(
                !quantization.stored().given() || !eight && !quantization.loadIn4bit(),
                "quantizes on loading, and keys of GPTQ and AWQ ("
                        + String.join(", ", quantization.stored().json().keySet())
                        + ") are about a base that is stored quantized; leave one of the two out",
                eight ? "quantization.load_in_8bit" : "quantization.load_in_4bit");
        if (quantization.stored().given()) {
            return;
        }
        String four = "is of load_in_4bit and says nothing with load_in_8bit; leave it out";
        rule(
                !eight || quantization.bnb4bitQuantType() == QuantType.NF4,
                four,
                "quantization.bnb_4bit_quant_type",
                "quantization.load_in_8bit");
        rule(
                !eight || quantization.bnb4bitUseDoubleQuant(),
                four,
                "quantization.bnb_4bit_use_double_quant",
                "quantization.load_in_8bit");
        rule(
                !eight || quantization.bnb4bitComputeDtype() == Precision.AUTO,
                "is of load_in_4bit; 8-bit layers are multiplied in model.dtype",
                "quantization.bnb_4bit_compute_dtype",
                "quantization.load_in_8bit");
        rule(
                !eight || quantization.blocksize() == 64,
                "is of load_in_4bit; in 8 bits a row has one scale. Leave it out",
                "quantization.blocksize",
                "quantization.load_in_8bit");
        rule(
                eight || quantization.llmInt8Threshold() == Int8Weight.DEFAULT_THRESHOLD,
                "needs quantization.load_in_8bit",
                "quantization.llm_int8_threshold",
                "quantization.load_in_8bit");
    }

    private void lora() {
        rule(
                lora.layersPattern().isEmpty() || !lora.layersToTransform().isEmpty(),
                "needs lora.layers_to_transform",
                "lora.layers_pattern",
                "lora.layers_to_transform");
        rule(
                lora.layersToTransform().isEmpty()
                        || !(lora.targetModules() instanceof TargetModules.Regex
                                || lora.targetModules() instanceof TargetModules.AllLinear),
                "needs a list in lora.target_modules, as in peft",
                "lora.layers_to_transform",
                "lora.target_modules");
    }

    private void data() {
        rule(
                data.eval().isEmpty() || data.evalFraction() == 0,
                "excludes data.eval; use one of the two",
                "data.eval_fraction",
                "data.eval");
        rule(
                !t.predictWithGenerate() || !data.eval().isEmpty() && data.format() == DataFormat.ALPACA,
                "needs data.eval, and data.format alpaca",
                "training.predict_with_generate",
                "data.eval",
                "data.format");
    }

    private void schedule() {
        rule(t.maxSteps() != 0, "expected -1 (no limit) or at least 1; got 0", "training.max_steps");
        rule(
                t.warmupSteps() < 1 || t.warmupSteps() == Math.rint(t.warmupSteps()),
                "expected a whole number of steps, or a share of all steps below 1; got " + t.warmupSteps(),
                "training.warmup_steps");
        rule(
                t.warmupSteps() == 0 || t.warmupRatio() == 0,
                "excludes training.warmup_steps; use one of the two",
                "training.warmup_ratio",
                "training.warmup_steps");
        rule(
                t.lrSchedulerType() != SchedulerType.CONSTANT || t.warmupSteps() == 0 && t.warmupRatio() == 0,
                "constant takes no warm-up; use constant_with_warmup",
                "training.lr_scheduler_type",
                "training.warmup_steps",
                "training.warmup_ratio");
        rule(
                t.lrSchedulerType() != SchedulerType.POLYNOMIAL
                        || t.lrSchedulerKwargs().lrEnd() < t.learningRate(),
                "expected less than training.learning_rate (" + t.learningRate() + "); got "
                        + t.lrSchedulerKwargs().lrEnd(),
                "training.lr_scheduler_kwargs.lr_end",
                "training.learning_rate",
                "training.lr_scheduler_type");
    }

    private void evaluation() {
        String needs = "needs rows to evaluate on; set data.eval or data.eval_fraction";
        boolean has = data.hasEval();
        rule(
                t.evalStrategy() != STEPS || t.evalSteps() == 0 || has,
                needs,
                "training.eval_steps",
                "data.eval",
                "data.eval_fraction",
                "training.eval_strategy");
        rule(t.evalStrategy() != EPOCH || has, needs, "training.eval_strategy", "data.eval", "data.eval_fraction");
        rule(
                t.evalSteps() == 0 || t.evalStrategy() != EPOCH,
                "cannot be used with training.eval_strategy: epoch",
                "training.eval_steps",
                "training.eval_strategy");
    }

    private void best() {
        String needs = "needs evaluation; set training.eval_steps, or training.eval_strategy: epoch";
        rule(
                t.earlyStoppingPatience() == 0 || t.evaluates(),
                needs,
                "training.early_stopping_patience",
                "training.eval_steps",
                "training.eval_strategy");
        rule(
                t.earlyStoppingThreshold() == 0 || t.earlyStoppingPatience() > 0,
                "needs training.early_stopping_patience",
                "training.early_stopping_threshold",
                "training.early_stopping_patience");
        if (!t.loadBestModelAtEnd()) {
            return;
        }
        rule(t.evaluates(), needs, "training.load_best_model_at_end", "training.eval_steps", "training.eval_strategy");
        rule(
                !t.evaluates() || t.saveStrategy() == t.evalStrategy(),
                "needs a checkpoint at each evaluation; set training.save_strategy to training.eval_strategy's value",
                "training.load_best_model_at_end",
                "training.save_strategy",
                "training.eval_strategy");
        rule(
                !t.evaluates()
                        || t.evalStrategy() != STEPS
                        || t.saveStrategy() != STEPS
                        || t.saveSteps() % t.evalSteps() == 0,
                "needs training.save_steps (" + t.saveSteps() + ") to be a multiple of training.eval_steps ("
                        + t.evalSteps() + ")",
                "training.load_best_model_at_end",
                "training.save_steps",
                "training.eval_steps");
    }

    /** Values that would do nothing. */
    private void unused() {
        String only = "is used only with ";
        rule(
                t.lrSchedulerType() == SchedulerType.POLYNOMIAL
                        || t.lrSchedulerKwargs().equals(SchedulerArguments.DEFAULT),
                only + "training.lr_scheduler_type: polynomial",
                "training.lr_scheduler_kwargs",
                "training.lr_scheduler_type");
        rule(
                t.optim().paged() || t.pagedResident().equals(TrainingSection.PAGED_RESIDENT),
                only + "a paged optimizer",
                "training.paged_resident",
                "training.optim");
        rule(
                t.gradientCheckpointing() == GradientCheckpointing.AUTO || t.memoryBudget() == null,
                only + "training.gradient_checkpointing: auto",
                "training.memory_budget",
                "training.gradient_checkpointing");
        rule(
                data.format() == DataFormat.ALPACA
                        || data.template().equals(TemplateChoice.named(BuiltinTemplate.HUMAN_ASSISTANT)),
                only + "data.format: alpaca",
                "data.template",
                "data.format");
    }

    private void rule(boolean holds, String text, String... keys) {
        if (!holds) {
            sink.broken(List.of(keys), text);
        }
    }
}
