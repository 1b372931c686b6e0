package io.github.qlora4j.quant;

import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;

/**
 * The 4-bit codes of bitsandbytes: which 16 numbers between −1 and 1 a weight can become.
 *
 * <p>Values: {@code get_4bit_type} in bitsandbytes 0.50.2's functional.py.
 */
public enum QuantType {
    /**
     * Quantiles of a normal distribution (QLoRA, section 3): a level is as often used as any other where weights are
     * normally distributed.
     */
    NF4(
            -1.0f,
            -0.6961928009986877f,
            -0.5250730514526367f,
            -0.39491748809814453f,
            -0.28444138169288635f,
            -0.18477343022823334f,
            -0.09105003625154495f,
            0.0f,
            0.07958029955625534f,
            0.16093020141124725f,
            0.24611230194568634f,
            0.33791524171829224f,
            0.44070982933044434f,
            0.5626170039176941f,
            0.7229568362236023f,
            1.0f),
    /** A floating-point number of four bits, sign, two of exponent, one of fraction, divided by its largest, 12. */
    FP4(
            0f,
            0.0625f / 12,
            8f / 12,
            12f / 12,
            4f / 12,
            6f / 12,
            2f / 12,
            3f / 12,
            0f,
            -0.0625f / 12,
            -8f / 12,
            -12f / 12,
            -4f / 12,
            -6f / 12,
            -2f / 12,
            -3f / 12);

    private final float[] code;

    QuantType(float... code) {
        this.code = code;
    }

    /** The number that each of the 16 bit patterns stands for; a copy. */
    public float[] code() {
        return code.clone();
    }

    /** The name that bitsandbytes and transformers use: {@code nf4} or {@code fp4}. */
    public String key() {
        return name().toLowerCase(Locale.ROOT);
    }

    /**
     * The type of a name.
     *
     * @throws QloraException if there is no such type
     */
    public static QuantType ofKey(String key) {
        for (QuantType type : values()) {
            if (type.key().equals(key)) {
                return type;
            }
        }
        throw new QloraException("quant_type " + key + " is not known; expected one of "
                + Arrays.stream(values()).map(QuantType::key).collect(Collectors.joining(", ")));
    }
}
