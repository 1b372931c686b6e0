package io.github.qlora4j.quant.torch;

import io.github.qlora4j.quant.QloraException;
import java.util.Arrays;
import java.util.stream.Collectors;

/**
 * The element types of tensors, with their names in PyTorch and in safetensors files.
 *
 * <p>The codes are PyTorch's {@code c10::ScalarType}.
 */
public enum Dtype {
    /** IEEE single precision. */
    FLOAT32(6, 4, "F32", "float32"),
    /** IEEE half precision. */
    FLOAT16(5, 2, "F16", "float16"),
    /** The upper half of a {@link #FLOAT32}. */
    BFLOAT16(15, 2, "BF16", "bfloat16"),
    /** IEEE double precision. */
    FLOAT64(7, 8, "F64", "float64"),
    /** Signed 64-bit integers. */
    INT64(4, 8, "I64", "int64"),
    /** Signed 32-bit integers. */
    INT32(3, 4, "I32", "int32"),
    /** Signed 16-bit integers. */
    INT16(2, 2, "I16", "int16"),
    /** Signed bytes. */
    INT8(1, 1, "I8", "int8"),
    /** Unsigned bytes; also what packed 4-bit weights are kept as. */
    UINT8(0, 1, "U8", "uint8"),
    /** One byte each, 0 or 1. */
    BOOL(11, 1, "BOOL", "bool");

    private final int code;
    private final int bytes;
    private final String safetensors;
    private final String torchName;

    Dtype(int code, int bytes, String safetensors, String torchName) {
        this.code = code;
        this.bytes = bytes;
        this.safetensors = safetensors;
        this.torchName = torchName;
    }

    /** PyTorch's number for this type, as TorchScript's {@code dtype} arguments take it. */
    public int code() {
        return code;
    }

    /** Bytes an element. */
    public int bytes() {
        return bytes;
    }

    /** The name in a safetensors header, {@code "BF16"} for instance. */
    public String safetensors() {
        return safetensors;
    }

    /** The name in PyTorch and in {@code config.json}, {@code "bfloat16"} for instance. */
    public String torchName() {
        return torchName;
    }

    /** Whether this is a floating-point type. */
    public boolean isFloating() {
        return this == FLOAT32 || this == FLOAT16 || this == BFLOAT16 || this == FLOAT64;
    }

    /**
     * The type of a name in a safetensors header.
     *
     * @throws QloraException if no such type is read here
     */
    public static Dtype ofSafetensors(String name) {
        for (Dtype d : values()) {
            if (d.safetensors.equals(name)) {
                return d;
            }
        }
        throw new QloraException("dtype " + name + " is not supported; expected one of "
                + Arrays.stream(values()).map(Dtype::safetensors).collect(Collectors.joining(", ")));
    }

    /**
     * The type of a PyTorch name, with or without {@code torch.} in front.
     *
     * @throws QloraException if no such type is known here
     */
    public static Dtype ofTorchName(String name) {
        String bare = name.startsWith("torch.") ? name.substring("torch.".length()) : name;
        for (Dtype d : values()) {
            if (d.torchName.equals(bare)) {
                return d;
            }
        }
        throw new QloraException("dtype " + name + " is not known; expected one of "
                + Arrays.stream(values()).map(Dtype::torchName).collect(Collectors.joining(", ")));
    }

    static Dtype ofCode(int code) {
        for (Dtype d : values()) {
            if (d.code == code) {
                return d;
            }
        }
        throw new IllegalStateException("a tensor of PyTorch scalar type " + code + " has no Dtype");
    }
}
