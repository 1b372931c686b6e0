package io.github.qlora4j.trainer.plan;

import io.github.qlora4j.peft.Bias;
import io.github.qlora4j.peft.LoraConfig;
import io.github.qlora4j.peft.ModuleInfo;
import io.github.qlora4j.peft.Target;
import io.github.qlora4j.peft.TargetModules;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.trainer.model.Family.Linear;
import io.github.qlora4j.trainer.model.ModelConfig;
import io.github.qlora4j.trainer.model.Modules;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * The parameters of a decoder, counted from {@code config.json} alone.
 *
 * @param config the model
 */
public record ModelShape(ModelConfig config) {
    /** Beyond what any model has, and small enough that no product of sizes overflows. */
    private static final int WIDEST = 1 << 20;

    /**
     * Checks what {@link ModelConfig} does not: heads times their width.
     *
     * @throws QloraException where it is one that no model has
     */
    public ModelShape {
        long width = (long) config.numAttentionHeads() * config.headDim();
        if (width > WIDEST) {
            throw new QloraException(
                    "config.json: num_attention_heads x head_dim is " + width + "; at most " + WIDEST + " is expected");
        }
    }

    /** The dtype that the file names; float32 where it names none, as transformers takes it. */
    public Dtype dtype() {
        return config.dtype().orElse(Dtype.FLOAT32);
    }

    /** Decoder blocks. */
    public int layers() {
        return config.numHiddenLayers();
    }

    /** The linear layers of one block. */
    public List<Linear> linears() {
        return config.family().linears(config);
    }

    /** Elements of a layer's matrix. */
    static long weights(Linear linear) {
        return linear.out() * linear.in();
    }

    /** Elements of the matrices of one block's linear layers. */
    public long blockWeights() {
        return linears().stream().mapToLong(ModelShape::weights).sum();
    }

    /** Elements of the biases of all linear layers. */
    public long biases() {
        return layers()
                * linears().stream().filter(Linear::bias).mapToLong(Linear::out).sum();
    }

    /** Elements of all norms. */
    public long norms() {
        return ((long) config.family().norms().size() * layers() + 1) * config.hiddenSize();
    }

    /** Elements of the embedding table. */
    public long embeddings() {
        return (long) config.vocabSize() * config.hiddenSize();
    }

    /** Elements of the head; 0 where it is the embedding table. */
    public long head() {
        return config.tieWordEmbeddings() ? 0 : embeddings();
    }

    /** All parameters of the base. */
    public long parameters() {
        return layers() * blockWeights() + biases() + norms() + embeddings() + head();
    }

    /**
     * Counts what an adapter trains on this model.
     *
     * @throws QloraException where a target matches nothing
     */
    public PlanSettings.Trained trained(LoraConfig lora) {
        List<ModuleInfo> modules = Modules.of(config);
        List<Target> targets = TargetModules.resolve(lora, modules, config.modelType());
        long saved = TargetModules.resolveModulesToSave(lora, modules).stream()
                .mapToLong(module -> module.rows() * module.cols())
                .sum();
        return new PlanSettings.Trained(
                targets.stream().mapToLong(Target::parameters).sum(), trainedBiases(lora.bias(), targets), saved);
    }

    private long trainedBiases(Bias bias, List<Target> targets) {
        Map<String, Linear> byName = linears().stream().collect(Collectors.toMap(Linear::name, linear -> linear));
        return switch (bias) {
            case NONE -> 0;
            case ALL -> biases();
            case LORA_ONLY ->
                targets.stream()
                        .map(target -> byName.get(target.name().replaceFirst("^model\\.layers\\.\\d+\\.", "")))
                        .filter(linear -> linear != null && linear.bias())
                        .mapToLong(Linear::out)
                        .sum();
        };
    }
}
