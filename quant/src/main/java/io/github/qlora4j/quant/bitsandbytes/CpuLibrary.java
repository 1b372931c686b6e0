package io.github.qlora4j.quant.bitsandbytes;

import com.sun.jna.Function;
import com.sun.jna.Native;
import com.sun.jna.NativeLibrary;
import java.nio.file.Path;

/**
 * {@code libbitsandbytes_cpu}: its 4-bit and 8-bit dequantizers.
 *
 * <p>Addresses are of contiguous memory; sizes are in elements. Methods carry the exported names, which is how JNA binds
 * them. The library has no 4-bit quantizer and no optimizers; its 8-bit quantizer is slower than ours. It is loaded once a JVM, by {@link LibrarySearch}.
 */
public final class CpuLibrary {

    private static NativeLibrary bound;

    private CpuLibrary() {}

    /** Binds the methods to a file; throws {@link UnsatisfiedLinkError} where it does not load or lacks one. */
    static synchronized void bind(Path file) {
        NativeLibrary library = NativeLibrary.getInstance(file.toAbsolutePath().toString());
        Native.register(CpuLibrary.class, library);
        bound = library;
    }

    static NativeLibrary bound() {
        return bound;
    }

    /** Whether the CPU has AVX-512F; false as well in a library that was built without it. */
    public static boolean hasAvx512() {
        return flag("has_avx512f_cpu");
    }

    /** Whether the CPU has AVX-512 BF16; false as well in a library that was built without it. */
    public static boolean hasAvx512Bf16() {
        return flag("has_avx512bf16_cpu");
    }

    // Left out of the library's builds for other CPUs, so these cannot be bound with the rest.
    private static boolean flag(String name) {
        try {
            Function function = bound.getFunction(name);
            return (function.invokeInt(new Object[0]) & 0xff) != 0;
        } catch (UnsatisfiedLinkError e) {
            return false;
        }
    }

    /**
     * Dequantizes NF4 to float32: {@code out = code × absmax}.
     *
     * <p>Blocks are counted within each of the m rows: the values are right only where blocksize divides n, or m is 1.
     */
    public static native void cdequantize_blockwise_cpu_nf4_fp32(
            long packed, long absmax, long out, long blocksize, long m, long n);

    /** As {@link #cdequantize_blockwise_cpu_nf4_fp32}, rounded to bfloat16. */
    public static native void cdequantize_blockwise_cpu_nf4_bf16(
            long packed, long absmax, long out, long blocksize, long m, long n);

    /** As {@link #cdequantize_blockwise_cpu_nf4_fp32}, rounded to float16. */
    public static native void cdequantize_blockwise_cpu_nf4_fp16(
            long packed, long absmax, long out, long blocksize, long m, long n);

    /** As {@link #cdequantize_blockwise_cpu_nf4_fp32}, for FP4. */
    public static native void cdequantize_blockwise_cpu_fp4_fp32(
            long packed, long absmax, long out, long blocksize, long m, long n);

    /** As {@link #cdequantize_blockwise_cpu_nf4_bf16}, for FP4. */
    public static native void cdequantize_blockwise_cpu_fp4_bf16(
            long packed, long absmax, long out, long blocksize, long m, long n);

    /** As {@link #cdequantize_blockwise_cpu_nf4_fp16}, for FP4. */
    public static native void cdequantize_blockwise_cpu_fp4_fp16(
            long packed, long absmax, long out, long blocksize, long m, long n);

    /** Dequantizes n bytes to float32; {@code code} is the address of 256 float32 numbers. */
    public static native void cdequantize_blockwise_cpu_fp32(
            long code, long codes, long absmax, long out, long blocksize, long n);

    /** Dequantizes n bytes to bfloat16. */
    public static native void cdequantize_blockwise_cpu_bf16(
            long code, long codes, long absmax, long out, long blocksize, long n);

    /** Dequantizes n bytes to float16. */
    public static native void cdequantize_blockwise_cpu_fp16(
            long code, long codes, long absmax, long out, long blocksize, long n);
}
