package io.github.qlora4j.trainer.model;

import io.github.qlora4j.peft.ModuleInfo;
import java.util.ArrayList;
import java.util.List;

/** The modules of a decoder under Hugging Face's names, for adapters to choose from. */
public final class Modules {

    private Modules() {}

    /** All modules with a weight, in the order of the model. */
    public static List<ModuleInfo> of(ModelConfig config) {
        List<ModuleInfo> modules = new ArrayList<>();
        modules.add(ModuleInfo.other("model.embed_tokens", config.vocabSize(), config.hiddenSize()));
        for (int i = 0; i < config.numHiddenLayers(); i++) {
            String prefix = "model.layers." + i + ".";
            for (Family.Linear linear : config.family().linears(config)) {
                modules.add(ModuleInfo.linear(prefix + linear.name(), linear.out(), linear.in()));
            }
            for (String norm : config.family().norms()) {
                modules.add(ModuleInfo.other(prefix + norm, config.hiddenSize(), 1));
            }
        }
        modules.add(ModuleInfo.other("model.norm", config.hiddenSize(), 1));
        modules.add(ModuleInfo.outputHead("lm_head", config.vocabSize(), config.hiddenSize()));
        return modules;
    }

    /** How many numbers the base has. */
    public static long parameters(ModelConfig config) {
        long embeddings = (long) config.vocabSize() * config.hiddenSize();
        long layer = (long) config.family().norms().size() * config.hiddenSize();
        for (Family.Linear linear : config.family().linears(config)) {
            layer += linear.out() * linear.in() + (linear.bias() ? linear.out() : 0);
        }
        return embeddings * (config.tieWordEmbeddings() ? 1 : 2)
                + layer * config.numHiddenLayers()
                + config.hiddenSize();
    }
}
