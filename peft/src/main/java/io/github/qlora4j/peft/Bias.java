package io.github.qlora4j.peft;

import io.github.qlora4j.quant.QloraException;
import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;

/** Which biases of the base are trained and saved with an adapter (peft's {@code bias}). */
public enum Bias {
    /** No bias is trained. */
    NONE,
    /** Every bias of the base is trained. */
    ALL,
    /** The biases of the linear modules that got an adapter are trained. */
    LORA_ONLY;

    /** Returns peft's spelling: {@code none}, {@code all} or {@code lora_only}. */
    public String peftName() {
        return name().toLowerCase(Locale.ROOT);
    }

    /** Finds a value by peft's spelling; anything else is a {@link QloraException}. */
    public static Bias ofPeftName(String name) {
        return Arrays.stream(values())
                .filter(b -> b.peftName().equals(name))
                .findFirst()
                .orElseThrow(() -> new QloraException("bias is '" + name + "'. It must be one of "
                        + Arrays.stream(values()).map(Bias::peftName).collect(Collectors.joining(", ")) + "."));
    }
}
