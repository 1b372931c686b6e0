package io.github.qlora4j.quant.bitsandbytes;

import com.sun.jna.Native;

/**
 * {@code gemv_4bit_inference_cpu} of {@code libbitsandbytes_cpu}, which only its builds for AVX-512 BF16 have.
 *
 * <p>Argument order: {@code csrc/cpu_ops.cpp} of bitsandbytes 0.50.2. Addresses are of contiguous memory.
 */
public final class GemvLibrary {

    private static final boolean BOUND = bind();

    private GemvLibrary() {}

    private static boolean bind() {
        if (!LibrarySearch.result().usable() || !CpuLibrary.hasAvx512Bf16()) {
            return false;
        }
        try {
            Native.register(GemvLibrary.class, CpuLibrary.bound());
            return true;
        } catch (UnsatisfiedLinkError e) {
            // a build without the kernel: products are made from the dense weight
            return false;
        }
    }

    /** Whether the library has the kernel and this CPU runs it. */
    public static boolean usable() {
        return BOUND;
    }

    /**
     * {@code out = x · weightᵀ} in bfloat16.
     *
     * @param nf4 whether the code is NF4, else FP4
     * @param m rows of x
     * @param n rows of the weight, a multiple of 32
     * @param k columns of both, a multiple of {@code blocksize}
     */
    public static void multiply(
            boolean nf4, long m, long n, long k, long x, long weight, long absmax, long out, long blocksize) {
        if (nf4) {
            gemv_4bit_inference_cpu_nf4_bf16(m, n, k, x, weight, absmax, out, blocksize, k, n);
        } else {
            gemv_4bit_inference_cpu_fp4_bf16(m, n, k, x, weight, absmax, out, blocksize, k, n);
        }
    }

    private static native void gemv_4bit_inference_cpu_nf4_bf16(
            long m,
            long n,
            long k,
            long x,
            long weight,
            long absmax,
            long out,
            long blocksize,
            long xStride,
            long outStride);

    private static native void gemv_4bit_inference_cpu_fp4_bf16(
            long m,
            long n,
            long k,
            long x,
            long weight,
            long absmax,
            long out,
            long blocksize,
            long xStride,
            long outStride);
}
