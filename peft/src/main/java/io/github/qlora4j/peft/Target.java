package io.github.qlora4j.peft;

/**
 * A linear module that gets an adapter, with what holds for it after {@code rank_pattern} and {@code alpha_pattern}.
 *
 * @param module the module
 * @param r the rank
 * @param alpha {@code lora_alpha}
 * @param scaling alpha/r, or alpha/√r with {@code use_rslora}
 */
public record Target(ModuleInfo module, int r, double alpha, double scaling) {

    /** Returns the module's dotted name. */
    public String name() {
        return module.name();
    }

    /** Returns how many numbers A and B have together: r · (in + out). */
    public long parameters() {
        return r * (module.rows() + module.cols());
    }
}
