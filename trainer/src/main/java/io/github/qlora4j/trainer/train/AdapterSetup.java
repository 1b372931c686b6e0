package io.github.qlora4j.trainer.train;

import ai.djl.ndarray.NDManager;
import com.google.gson.JsonElement;
import io.github.qlora4j.peft.Adapter;
import io.github.qlora4j.peft.Bias;
import io.github.qlora4j.peft.LoraConfig;
import io.github.qlora4j.peft.ModuleInfo;
import io.github.qlora4j.peft.Target;
import io.github.qlora4j.peft.TargetModules;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.trainer.config.LoadedConfig;
import io.github.qlora4j.trainer.model.BaseModel;
import io.github.qlora4j.trainer.model.ModelConfig;
import io.github.qlora4j.trainer.model.Modules;
import java.util.ArrayList;
import java.util.List;

/** Makes the adapter that a configuration asks for: a new one, or one to start from. */
final class AdapterSetup {

    private AdapterSetup() {}

    /** Which modules are adapted and trained whole; found from the model's configuration alone. */
    record Plan(List<Target> targets, List<ModuleInfo> whole) {}

    /**
     * Matches the adapter's names before anything is loaded.
     *
     * @throws QloraException if a name matches nothing, or something that cannot be trained
     */
    static Plan plan(LoraConfig lora, ModelConfig model) {
        refuseAttentionDropout(model.json().get("attention_dropout"));
        List<ModuleInfo> modules = Modules.of(model);
        List<Target> targets;
        try {
            targets = TargetModules.resolve(lora, modules, model.modelType());
        } catch (QloraException e) {
            throw new QloraException("lora." + e.getMessage(), e);
        }
        for (Target target : targets) {
            if (target.module().isOutputHead()) {
                throw new QloraException("lora.target_modules: " + target.name()
                        + " cannot have an adapter here; train it whole with lora.modules_to_save: [lm_head]");
            }
        }
        List<ModuleInfo> whole = TargetModules.resolveModulesToSave(lora, modules);
        for (ModuleInfo module : whole) {
            if (!module.name().equals("lm_head") && !module.name().equals("model.embed_tokens")) {
                throw new QloraException("lora.modules_to_save: " + module.name()
                        + " cannot be trained whole; lm_head and embed_tokens can");
            }
        }
        return new Plan(targets, whole);
    }

    /** transformers would drop out attention's weights in training; computing without it would be another training. */
    private static void refuseAttentionDropout(JsonElement value) {
        if (value != null
                && !value.isJsonNull()
                && !(value.isJsonPrimitive() && value.getAsJsonPrimitive().isNumber() && value.getAsDouble() == 0)) {
            throw new QloraException("config.json of the base: attention_dropout: expected 0.0, got " + value
                    + ". Dropout inside attention is not supported; set it to 0.0, and drop out the adapter's input by"
                    + " lora.lora_dropout instead");
        }
    }

    /** A new adapter on a base. */
    static Adapter create(NDManager manager, LoraConfig lora, Dtype dtype, BaseModel base, long seed) {
        Plan plan = plan(lora, base.config());
        Adapter adapter = Adapter.create(manager, lora, plan.targets(), dtype, seed);
        for (ModuleInfo module : plan.whole()) {
            adapter.addWhole(
                    module.name() + ".weight", module.name().equals("lm_head") ? base.head() : base.embeddings());
        }
        if (lora.bias() != Bias.NONE) {
            List<String> biases = new ArrayList<>();
            for (int i = 0; i < base.layers().size(); i++) {
                for (String name : base.layers().get(i).tensors().keySet()) {
                    String full = "model.layers." + i + "." + name;
                    String module = full.substring(0, full.lastIndexOf('.'));
                    if (name.endsWith(".bias") && (lora.bias() == Bias.ALL || adapter.get(module) != null)) {
                        adapter.addWhole(full, base.layers().get(i).tensors().get(name));
                        biases.add(full);
                    }
                }
            }
            if (biases.isEmpty()) {
                throw new QloraException("lora.bias: " + lora.bias().name().toLowerCase(java.util.Locale.ROOT)
                        + " asks for biases, but this model has none there; leave it out");
            }
        }
        return adapter;
    }

    /**
     * The configuration of the adapter to start from, which holds; keys that the user wrote must agree with it.
     *
     * @throws QloraException that names each key that contradicts it
     */
    static void checkAgainst(LoraConfig stored, LoadedConfig loaded) {
        LoraConfig asked = AdapterSettings.of(loaded.config().lora());
        List<String> wrong = new ArrayList<>();
        compare(loaded, wrong, "r", asked.r(), stored.r());
        compare(loaded, wrong, "lora_alpha", asked.loraAlpha(), stored.loraAlpha());
        compare(loaded, wrong, "target_modules", asked.targetModules(), stored.targetModules());
        compare(loaded, wrong, "use_rslora", asked.useRslora(), stored.useRslora());
        compare(loaded, wrong, "rank_pattern", asked.rankPattern(), stored.rankPattern());
        compare(loaded, wrong, "alpha_pattern", asked.alphaPattern(), stored.alphaPattern());
        compare(loaded, wrong, "bias", asked.bias(), stored.bias());
        compare(loaded, wrong, "layers_to_transform", asked.layersToTransform(), stored.layersToTransform());
        compare(loaded, wrong, "modules_to_save", asked.modulesToSave(), stored.modulesToSave());
        if (!wrong.isEmpty()) {
            throw new QloraException("lora.adapter: " + loaded.config().lora().adapter()
                    + " has settings of its own, which these keys contradict; leave them out:\n  "
                    + String.join("\n  ", wrong));
        }
    }

    private static void compare(LoadedConfig loaded, List<String> wrong, String key, Object asked, Object stored) {
        boolean same = asked.equals(stored)
                || asked instanceof TargetModules.Names a
                        && stored instanceof TargetModules.Names b
                        && java.util.Set.copyOf(a.names()).equals(java.util.Set.copyOf(b.names()));
        if (loaded.isExplicit("lora." + key) && !same) {
            wrong.add("lora." + key + ": " + asked + ", but the adapter has " + stored);
        }
    }
}
