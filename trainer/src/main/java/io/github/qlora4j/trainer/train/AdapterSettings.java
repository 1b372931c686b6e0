package io.github.qlora4j.trainer.train;

import io.github.qlora4j.peft.Bias;
import io.github.qlora4j.peft.InitLoraWeights;
import io.github.qlora4j.peft.LoraConfig;
import io.github.qlora4j.peft.TargetModules;
import io.github.qlora4j.trainer.config.LoraSection;
import java.util.LinkedHashMap;
import java.util.Map;

/** From the keys of {@code lora:} to the configuration of an adapter. */
public final class AdapterSettings {

    private AdapterSettings() {}

    /**
     * Makes the configuration of a new adapter; {@code lora.adapter} and {@code lora.dtype} are no part of it.
     *
     * @throws io.github.qlora4j.quant.QloraException where keys contradict each other
     */
    public static LoraConfig of(LoraSection lora) {
        Map<String, Double> alphas = new LinkedHashMap<>();
        lora.alphaPattern().forEach((key, alpha) -> alphas.put(key, alpha.doubleValue()));
        return LoraConfig.builder()
                .optR(lora.r())
                .optLoraAlpha(lora.loraAlpha())
                .optLoraDropout(lora.loraDropout())
                .optTargetModules(targets(lora.targetModules()))
                .optInitLoraWeights(
                        switch (lora.initLoraWeights()) {
                            case TRUE -> InitLoraWeights.DEFAULT;
                            case GAUSSIAN -> InitLoraWeights.GAUSSIAN;
                        })
                .optUseRslora(lora.useRslora())
                .optRankPattern(lora.rankPattern())
                .optAlphaPattern(alphas)
                .optLayersToTransform(lora.layersToTransform())
                .optLayersPattern(lora.layersPattern())
                .optBias(Bias.ofPeftName(lora.bias().name().toLowerCase(java.util.Locale.ROOT)))
                .optModulesToSave(lora.modulesToSave())
                .build();
    }

    private static TargetModules targets(io.github.qlora4j.trainer.config.TargetModules targets) {
        if (targets instanceof io.github.qlora4j.trainer.config.TargetModules.Names names) {
            return new TargetModules.Names(names.names());
        }
        if (targets instanceof io.github.qlora4j.trainer.config.TargetModules.Regex regex) {
            return new TargetModules.Regex(regex.pattern());
        }
        return targets instanceof io.github.qlora4j.trainer.config.TargetModules.AllLinear
                ? new TargetModules.AllLinear()
                : new TargetModules.ModelDefault();
    }
}
