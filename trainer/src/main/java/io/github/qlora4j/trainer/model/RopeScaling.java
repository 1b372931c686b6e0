package io.github.qlora4j.trainer.model;

/** How rotary frequencies are stretched beyond the length a model was pre-trained at ({@code rope_type}). */
public sealed interface RopeScaling {

    /** Not at all. */
    record None() implements RopeScaling {}

    /** All frequencies divided by {@code factor}. */
    record Linear(double factor) implements RopeScaling {}

    /** NTK-aware: the base grows with the row's length once that exceeds {@code maxPositionEmbeddings}. */
    record Dynamic(double factor) implements RopeScaling {}

    /** Llama 3.1's: low frequencies divided by {@code factor}, high ones kept, a ramp between. */
    record Llama3(double factor, double lowFreqFactor, double highFreqFactor, int originalMaxPositionEmbeddings)
            implements RopeScaling {}

    /**
     * YaRN (arXiv 2309.00071).
     *
     * @param attentionFactor multiplies cos and sin; already worked out from the factor and the mscales
     * @param truncate whether the ramp's ends are rounded to whole dimensions
     */
    record Yarn(
            double factor,
            double attentionFactor,
            double betaFast,
            double betaSlow,
            int originalMaxPositionEmbeddings,
            boolean truncate)
            implements RopeScaling {}

    /** Reads either spelling: {@code rope_parameters} (transformers 5), or {@code rope_scaling} with a type. */
    static RopeScaling read(ConfigJson rope, int maxPositionEmbeddings) {
        String type = rope.string("rope_type", rope.string("type", "default"));
        double partial = rope.number("partial_rotary_factor", 1.0);
        if (partial != 1.0) {
            throw rope.wrong("partial_rotary_factor", "1.0 (rotating a part of each head is not supported)");
        }
        return switch (type) {
            case "default" -> new None();
            case "linear" -> new Linear(factor(rope));
            case "dynamic" -> new Dynamic(factor(rope));
            case "llama3" ->
                new Llama3(
                        factor(rope),
                        rope.number("low_freq_factor"),
                        rope.number("high_freq_factor"),
                        rope.integer("original_max_position_embeddings", 1));
            case "yarn" -> yarn(rope, maxPositionEmbeddings);
            default ->
                throw rope.wrong(
                        rope.has("rope_type") ? "rope_type" : "type", "default, linear, dynamic, llama3 or yarn");
        };
    }

    private static double factor(ConfigJson rope) {
        double factor = rope.number("factor");
        if (factor < 1) {
            throw rope.wrong("factor", "a number of at least 1");
        }
        return factor;
    }

    private static Yarn yarn(ConfigJson rope, int maxPositionEmbeddings) {
        int original = rope.integer("original_max_position_embeddings", 1, maxPositionEmbeddings);
        double factor = rope.has("factor") ? factor(rope) : (double) maxPositionEmbeddings / original;
        double mscale = rope.number("mscale", 0);
        double allDim = rope.number("mscale_all_dim", 0);
        double inferred =
                mscale != 0 && allDim != 0 ? mscale(factor, mscale) / mscale(factor, allDim) : mscale(factor, 1);
        return new Yarn(
                factor,
                rope.positive("attention_factor", inferred),
                rope.positive("beta_fast", 32),
                rope.positive("beta_slow", 1),
                original,
                rope.bool("truncate", true));
    }

    private static double mscale(double scale, double mscale) {
        return scale <= 1 ? 1.0 : 0.1 * mscale * Math.log(scale) + 1.0;
    }
}
