package io.github.qlora4j.trainer.config;

import java.util.List;

/**
 * A list of modules that takes the place of a default: an empty one is not the same as none, which is null.
 *
 * @param names ends of names, or regular expressions for their beginnings
 */
public record ModuleNames(List<String> names) {
    /** Copies the list. */
    public ModuleNames {
        names = List.copyOf(names);
    }
}
