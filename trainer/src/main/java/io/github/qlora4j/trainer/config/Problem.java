package io.github.qlora4j.trainer.config;

/**
 * One thing that is wrong with a configuration.
 *
 * @param place {@code FILE:LINE:COLUMN} counted from 1, {@code --set key=value}, or empty where neither is known
 * @param key the key with its section, such as {@code training.max_steps}; empty where it is the file as a whole
 * @param text what is wrong, what is expected, what was found, and what may have been meant
 */
public record Problem(String place, String key, String text) {

    /** The problem as one line. */
    @Override
    public String toString() {
        return (place.isEmpty() ? "" : place + ": ") + (key.isEmpty() ? "" : key + ": ") + text;
    }
}
