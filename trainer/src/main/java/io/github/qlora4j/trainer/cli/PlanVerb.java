package io.github.qlora4j.trainer.cli;

import com.google.gson.JsonObject;
import io.github.qlora4j.trainer.config.ConfigFile;
import io.github.qlora4j.trainer.config.ModelSection;
import io.github.qlora4j.trainer.config.Precision;
import io.github.qlora4j.trainer.config.RunConfig;
import io.github.qlora4j.trainer.config.RunConfigBuilder;
import io.github.qlora4j.trainer.model.ComputeDtype;
import io.github.qlora4j.trainer.model.Placement;
import io.github.qlora4j.trainer.plan.MemoryPlan;
import io.github.qlora4j.trainer.plan.RunPlan;
import io.github.qlora4j.trainer.report.Figures;
import io.github.qlora4j.trainer.report.Rss;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code plan}: parameters, trained parameters and memory of a run, before anything is loaded. */
@Command(
        name = "plan",
        description = "Counts parameters, trained parameters and the memory of each stage of a run from the model's"
                + " config.json alone: no weight is read.",
        footer = {
            "Examples:",
            "  qlora plan configs/llama.yaml",
            "  qlora plan --model models/llama --load-in-4bit --r 8 --target-modules q_proj,v_proj",
            "  qlora plan --model models/llama --device-map auto --max-memory 0=8GiB,cpu=4GiB"
        })
final class PlanVerb extends Verb {
    @Parameters(arity = "0..1", paramLabel = "CONFIG", description = "The run's YAML file; or use --model.")
    private Path config;

    @Option(names = "--set", paramLabel = "KEY=VALUE", description = "Set a key over the file; may be repeated.")
    private List<String> sets = new ArrayList<>();

    @Option(names = "--model", paramLabel = "DIR", description = "A model directory, in place of CONFIG.")
    private Path model;

    @Mixin
    private FourBitOptions fourBit;

    @Mixin
    private PlacementFlags placement;

    @Option(names = "--dtype", paramLabel = "DTYPE", description = "Dtype of the base; config.json's by default.")
    private String dtype;

    @Option(names = "--r", paramLabel = "N", description = "Rank of the adapter; 8 is the default.")
    private Integer rank;

    @Option(
            names = "--target-modules",
            paramLabel = "NAMES",
            description = "Names with commas between, all-linear, or a regular expression; q_proj,v_proj by default.")
    private String targetModules;

    @Option(names = "--batch-size", paramLabel = "N", description = "Rows of a micro-batch; 2 is the default.")
    private Integer batchSize;

    @Option(names = "--max-length", paramLabel = "N", description = "Tokens of a row at most; 384 is the default.")
    private Integer maxLength;

    @Option(names = "--optim", paramLabel = "NAME", description = "The optimizer; paged_adamw_32bit by default.")
    private String optimizer;

    @Option(
            names = "--gradient-checkpointing",
            paramLabel = "CHOICE",
            description = "true (the default), false or auto.")
    private String gradientCheckpointing;

    @Option(names = "--json", description = "One JSON object.")
    private boolean json;

    @Override
    public Integer call() {
        RunConfig run = run();
        boolean fourBits = run.quantized().filter(q -> q.loadIn4bit()).isPresent();
        ComputeDtype compute = ComputeDtype.of(
                fourBits
                        ? run.quantization().bnb4bitComputeDtype()
                        : run.model().dtype());
        MemoryPlan plan = RunPlan.of(run, compute.dtype());
        Placement placed = plan.settings().placement();
        long free = Rss.freeBytes();
        if (json) {
            JsonObject object = plan.json();
            object.addProperty("compute_dtype", plan.settings().compute().torchName());
            object.addProperty("free_bytes", free);
            if (placed != null) {
                JsonObject map = new JsonObject();
                placed.devices().forEach((module, device) -> map.addProperty(module, device.toString()));
                object.add("device_map", map);
            }
            out().println(object);
            return Main.OK;
        }
        out().println("model: " + run.model().path() + " ("
                + plan.shape().config().modelType() + ", "
                + Figures.count(plan.shape().parameters()) + " parameters)");
        out().println(Figures.trainable(plan.trainable(), plan.parameters()));
        if (fourBits) {
            out().println("compute dtype: " + compute.dtype().torchName() + " (" + compute.reason() + ")");
        }
        if (placed != null) {
            placed.lines().forEach(out()::println);
            if (placed.usesGpu()) {
                out().println("nothing computes on GPUs yet: this is a plan, and no run");
            }
        }
        plan.lines().forEach(out()::println);
        if (free > 0) {
            out().println("free now: " + Figures.bytes(free)
                    + (plan.peakBytes() > free
                            ? "; less than planned, see training.gradient_checkpointing,"
                                    + " per_device_train_batch_size and max_length"
                            : ""));
        }
        return Main.OK;
    }

    private RunConfig run() {
        if ((config == null) == (model == null)) {
            throw new WrongUse(
                    config == null ? "plan needs CONFIG or --model DIR" : "plan takes CONFIG or --model, not both");
        }
        if (config != null) {
            if (fourBit.given()
                    || placement.given()
                    || dtype != null
                    || rank != null
                    || targetModules != null
                    || batchSize != null
                    || maxLength != null
                    || optimizer != null
                    || gradientCheckpointing != null) {
                throw new WrongUse(
                        "with CONFIG, change keys by --set section.key=value; the other flags go with --model");
            }
            return ConfigFile.load(config, sets).config();
        }
        fourBit.check();
        // What is not about the model has to be there, and is never looked at.
        RunConfigBuilder builder =
                RunConfig.builder().setModel(model).setTrain("none.json").setOutputDir(Path.of("none"));
        if (fourBit.loadIn4bit) {
            builder.optLoadIn4bit(true);
            opt(builder, "quantization.bnb_4bit_quant_type", fourBit.quantType);
            opt(builder, "quantization.blocksize", fourBit.blocksize);
            opt(builder, "quantization.bnb_4bit_use_double_quant", fourBit.doubleQuant);
            opt(builder, "quantization.bnb_4bit_compute_dtype", fourBit.computeDtype);
            opt(builder, "quantization.kernel", fourBit.kernel);
        }
        if (fourBit.loadIn8bit) {
            builder.optLoadIn8bit(true);
            opt(builder, "quantization.llm_int8_threshold", fourBit.llmInt8Threshold);
        }
        opt(builder, "model.dtype", dtype);
        place(builder);
        opt(builder, "lora.r", rank);
        if (targetModules != null) {
            boolean pattern = targetModules.equals("all-linear") || targetModules.matches(".*[*+\\\\()|\\[\\]^$].*");
            opt(builder, "lora.target_modules", pattern ? targetModules : List.of(targetModules.split("\\s*,\\s*")));
        }
        opt(builder, "training.per_device_train_batch_size", batchSize);
        opt(builder, "data.max_length", maxLength);
        opt(builder, "training.optim", optimizer);
        if (gradientCheckpointing != null) {
            sets.add("training.gradient_checkpointing=" + gradientCheckpointing);
        }
        sets.forEach(builder::optFrom);
        return builder.build();
    }

    private void place(RunConfigBuilder builder) {
        ModelSection section = placement.section(model, Precision.AUTO, fourBit.quantizes());
        opt(builder, "model.device_map", section.deviceMap());
        opt(builder, "model.offload_folder", section.offloadFolder());
        if (!section.maxMemory().isEmpty()) {
            builder.opt("model.max_memory", section.maxMemory());
        }
        if (placement.fp32Offload()) {
            builder.opt("quantization.llm_int8_enable_fp32_cpu_offload", true);
        }
    }

    private static void opt(RunConfigBuilder builder, String key, Object value) {
        if (value != null) {
            builder.opt(key, value);
        }
    }
}
