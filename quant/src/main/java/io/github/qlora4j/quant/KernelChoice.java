package io.github.qlora4j.quant;

/** Which code quantizes and dequantizes. */
public enum KernelChoice {
    /** bitsandbytes' native library where it is found, else the built-in kernel. */
    AUTO,
    /** bitsandbytes' native library; its absence is an error. */
    BITSANDBYTES,
    /** The built-in kernel; the native library is never looked for. */
    BUILTIN
}
