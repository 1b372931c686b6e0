package io.github.qlora4j.peft;

import io.github.qlora4j.quant.QloraException;
import java.util.Objects;

/**
 * A module of a base model as target matching sees it.
 *
 * @param name the dotted name without {@code .weight}, such as {@code model.layers.0.self_attn.q_proj}
 * @param rows output features; 0 for a module without a matrix
 * @param cols input features; 0 for a module without a matrix
 * @param isLinear whether it multiplies by a matrix {@code [rows, cols]}: what LoRA can be put on
 * @param isOutputHead whether it maps hidden states to the vocabulary: {@code all-linear} leaves it out
 */
public record ModuleInfo(String name, long rows, long cols, boolean isLinear, boolean isOutputHead) {

    /** Checks the name, and that a linear module has a matrix. */
    public ModuleInfo {
        Objects.requireNonNull(name, "name");
        if (name.isEmpty()) {
            throw new QloraException("A module has no name.");
        }
        if (isLinear && (rows <= 0 || cols <= 0)) {
            throw new QloraException("Linear module " + name + " has shape [" + rows + ", " + cols
                    + "]. Both sizes must be above zero.");
        }
    }

    /** A linear module with a weight {@code [rows, cols]}. */
    public static ModuleInfo linear(String name, long rows, long cols) {
        return new ModuleInfo(name, rows, cols, true, false);
    }

    /** The linear module that yields the logits. */
    public static ModuleInfo outputHead(String name, long rows, long cols) {
        return new ModuleInfo(name, rows, cols, true, true);
    }

    /** Any other module: an embedding {@code [rows, cols]}, a norm, a container (0, 0). */
    public static ModuleInfo other(String name, long rows, long cols) {
        return new ModuleInfo(name, rows, cols, false, false);
    }
}
