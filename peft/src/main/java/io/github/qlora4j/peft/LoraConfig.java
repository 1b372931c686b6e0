package io.github.qlora4j.peft;

import io.github.qlora4j.quant.QloraException;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/**
 * What an adapter is: the fields of peft's {@code LoraConfig} that decide the computation, with peft's defaults.
 *
 * <pre>{@code
 * LoraConfig config = LoraConfig.builder().optR(16).optLoraAlpha(32).optTargetModules("q_proj", "v_proj").build();
 * }</pre>
 *
 * @param r the rank
 * @param loraAlpha the numerator of the scaling
 * @param loraDropout probability with which an element of the adapter's input is dropped in training
 * @param targetModules the modules that get an adapter
 * @param excludeModules modules that get none though they are targeted: names or a regular expression
 * @param initLoraWeights how new matrices are filled
 * @param useRslora whether the scaling is alpha/√r in place of alpha/r
 * @param rankPattern ranks of single modules, by name or regular expression; the first key that matches holds
 * @param alphaPattern alphas of single modules, likewise
 * @param layersToTransform the layers that get an adapter; empty: all. With a list of names only
 * @param layersPattern what the list of layers is called, {@code layers} or {@code h}; empty: anything
 * @param bias which biases are trained
 * @param modulesToSave modules that are trained and saved whole, such as {@code lm_head}
 * @param fanInFanOut whether base weights are stored {@code [in, out]}, as GPT-2's are
 */
public record LoraConfig(
        int r,
        double loraAlpha,
        double loraDropout,
        TargetModules targetModules,
        TargetModules excludeModules,
        InitLoraWeights initLoraWeights,
        boolean useRslora,
        Map<String, Integer> rankPattern,
        Map<String, Double> alphaPattern,
        List<Integer> layersToTransform,
        List<String> layersPattern,
        Bias bias,
        List<String> modulesToSave,
        boolean fanInFanOut) {

    /** Checks every field and how they go together; what is wrong is told in a {@link QloraException}. */
    public LoraConfig {
        Objects.requireNonNull(targetModules, "targetModules");
        Objects.requireNonNull(excludeModules, "excludeModules");
        Objects.requireNonNull(initLoraWeights, "initLoraWeights");
        Objects.requireNonNull(bias, "bias");
        rankPattern = Collections.unmodifiableMap(new LinkedHashMap<>(rankPattern));
        alphaPattern = Collections.unmodifiableMap(new LinkedHashMap<>(alphaPattern));
        layersToTransform = List.copyOf(layersToTransform);
        layersPattern = List.copyOf(layersPattern);
        modulesToSave = List.copyOf(modulesToSave);

        checkRank("r", r);
        checkAlpha("lora_alpha", loraAlpha);
        require(
                loraDropout >= 0 && loraDropout < 1,
                "lora_dropout is " + loraDropout + ". It must be at least 0 and below 1.");
        rankPattern.forEach((key, value) -> checkRank("rank_pattern '" + key + "'", value));
        alphaPattern.forEach((key, value) -> checkAlpha("alpha_pattern '" + key + "'", value));
        rankPattern.keySet().forEach(key -> PythonRegex.compile(key, "rank_pattern"));
        alphaPattern.keySet().forEach(key -> PythonRegex.compile(key, "alpha_pattern"));
        layersPattern.forEach(pattern -> PythonRegex.compile(pattern, "layers_pattern"));
        for (String module : modulesToSave) {
            require(!module.isBlank(), "modules_to_save holds an empty name. Remove it.");
            PythonRegex.compile(module, "modules_to_save");
        }
        require(
                excludeModules instanceof TargetModules.Names || excludeModules instanceof TargetModules.Regex,
                "exclude_modules must be a list of names or a regular expression.");
        boolean isText =
                targetModules instanceof TargetModules.Regex || targetModules instanceof TargetModules.AllLinear;
        require(
                !isText || layersToTransform.isEmpty(),
                "layers_to_transform cannot be used when target_modules is a regular expression or all-linear."
                        + " Give target_modules as a list of names.");
        require(
                !isText || layersPattern.isEmpty(),
                "layers_pattern cannot be used when target_modules is a regular expression or all-linear."
                        + " Give target_modules as a list of names.");
        require(
                layersPattern.isEmpty() || !layersToTransform.isEmpty(),
                "layers_pattern is set and layers_to_transform is not. Set layers_to_transform too, or leave both out.");
        for (int layer : layersToTransform) {
            require(layer >= 0, "layers_to_transform holds " + layer + ". Layers are counted from 0.");
        }
    }

    private static void checkRank(String key, int r) {
        require(r >= 1, key + " is " + r + ". A rank must be at least 1.");
    }

    private static void checkAlpha(String key, double alpha) {
        require(Double.isFinite(alpha), key + " is " + alpha + ". It must be a finite number.");
    }

    private static void require(boolean holds, String otherwise) {
        if (!holds) {
            throw new QloraException(otherwise);
        }
    }

    /** Returns alpha/r, or alpha/√r with {@code use_rslora}. */
    public double scaling(int r, double alpha) {
        return useRslora ? alpha / Math.sqrt(r) : alpha / r;
    }

    /** Returns a builder that holds peft's defaults. */
    public static Builder builder() {
        return new Builder();
    }

    /** Returns a builder that holds this configuration's values. */
    public Builder toBuilder() {
        return new Builder()
                .optR(r)
                .optLoraAlpha(loraAlpha)
                .optLoraDropout(loraDropout)
                .optTargetModules(targetModules)
                .optExcludeModules(excludeModules)
                .optInitLoraWeights(initLoraWeights)
                .optUseRslora(useRslora)
                .optRankPattern(rankPattern)
                .optAlphaPattern(alphaPattern)
                .optLayersToTransform(layersToTransform)
                .optLayersPattern(layersPattern)
                .optBias(bias)
                .optModulesToSave(modulesToSave)
                .optFanInFanOut(fanInFanOut);
    }

    /** Collects the fields of a {@link LoraConfig}; everything left out has peft's default. */
    public static final class Builder {
        private int r = 8;
        private double loraAlpha = 8;
        private double loraDropout;
        private TargetModules targetModules = new TargetModules.ModelDefault();
        private TargetModules excludeModules = new TargetModules.Names(List.of());
        private InitLoraWeights initLoraWeights = InitLoraWeights.DEFAULT;
        private boolean useRslora;
        private Map<String, Integer> rankPattern = Map.of();
        private Map<String, Double> alphaPattern = Map.of();
        private List<Integer> layersToTransform = List.of();
        private List<String> layersPattern = List.of();
        private Bias bias = Bias.NONE;
        private List<String> modulesToSave = List.of();
        private boolean fanInFanOut;

        private Builder() {}

        /** Sets the rank; 8 by default. */
        public Builder optR(int r) {
            this.r = r;
            return this;
        }

        /** Sets the numerator of the scaling; 8 by default. */
        public Builder optLoraAlpha(double loraAlpha) {
            this.loraAlpha = loraAlpha;
            return this;
        }

        /** Sets the dropout on the adapter's input; 0 by default. */
        public Builder optLoraDropout(double loraDropout) {
            this.loraDropout = loraDropout;
            return this;
        }

        /** Sets the modules that get an adapter; the model type's default by default. */
        public Builder optTargetModules(TargetModules targetModules) {
            this.targetModules = targetModules;
            return this;
        }

        /** Sets the modules that get an adapter by names or endings of names. */
        public Builder optTargetModules(String... names) {
            return optTargetModules(TargetModules.names(names));
        }

        /** Sets modules that get no adapter though they are targeted; none by default. */
        public Builder optExcludeModules(TargetModules excludeModules) {
            this.excludeModules = excludeModules;
            return this;
        }

        /** Sets how new matrices are filled. */
        public Builder optInitLoraWeights(InitLoraWeights initLoraWeights) {
            this.initLoraWeights = initLoraWeights;
            return this;
        }

        /** Sets whether the scaling is alpha/√r; false by default. */
        public Builder optUseRslora(boolean useRslora) {
            this.useRslora = useRslora;
            return this;
        }

        /** Sets ranks of single modules. */
        public Builder optRankPattern(Map<String, Integer> rankPattern) {
            this.rankPattern = rankPattern;
            return this;
        }

        /** Sets alphas of single modules. */
        public Builder optAlphaPattern(Map<String, Double> alphaPattern) {
            this.alphaPattern = alphaPattern;
            return this;
        }

        /** Sets the layers that get an adapter; all by default. */
        public Builder optLayersToTransform(List<Integer> layersToTransform) {
            this.layersToTransform = layersToTransform;
            return this;
        }

        /** Sets what the list of layers is called. */
        public Builder optLayersPattern(List<String> layersPattern) {
            this.layersPattern = layersPattern;
            return this;
        }

        /** Sets which biases are trained; none by default. */
        public Builder optBias(Bias bias) {
            this.bias = bias;
            return this;
        }

        /** Sets modules that are trained and saved whole; none by default. */
        public Builder optModulesToSave(List<String> modulesToSave) {
            this.modulesToSave = modulesToSave;
            return this;
        }

        /** Sets whether base weights are stored {@code [in, out]}; false by default. */
        public Builder optFanInFanOut(boolean fanInFanOut) {
            this.fanInFanOut = fanInFanOut;
            return this;
        }

        /** Checks the values and makes the configuration. */
        public LoraConfig build() {
            return new LoraConfig(
                    r,
                    loraAlpha,
                    loraDropout,
                    targetModules,
                    excludeModules,
                    initLoraWeights,
                    useRslora,
                    rankPattern,
                    alphaPattern,
                    layersToTransform,
                    layersPattern,
                    bias,
                    modulesToSave,
                    fanInFanOut);
        }
    }
}
