package io.github.qlora4j.trainer.config;

import java.util.Collections;
import java.util.Set;
import java.util.TreeSet;

/**
 * A configuration and which of its keys the user wrote.
 *
 * @param config the checked configuration, defaults filled in
 * @param explicit the keys that stood in the file or were set over it, such as {@code lora.r}
 * @param source what it was read from, for messages: the file's name, or a word for it
 */
public record LoadedConfig(RunConfig config, Set<String> explicit, String source) {

    /** Copies the set. */
    public LoadedConfig {
        explicit = Collections.unmodifiableSet(new TreeSet<>(explicit));
    }

    /** The user wrote this key. */
    public boolean isExplicit(String key) {
        return explicit.contains(key);
    }
}
