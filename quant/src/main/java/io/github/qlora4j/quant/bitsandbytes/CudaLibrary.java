package io.github.qlora4j.quant.bitsandbytes;

import com.sun.jna.Library;
import com.sun.jna.Native;
import com.sun.jna.NativeLong;
import com.sun.jna.Pointer;
import io.github.qlora4j.quant.QloraException;
import java.nio.file.Path;

/**
 * The 4-bit, 8-bit and Adam functions of {@code libbitsandbytes_cudaNNN}.
 *
 * <p><b>Declared, not run here:</b> this project's tests have no GPU. Argument orders are those of {@code
 * csrc/pythonInterface.cpp}. Pointers are to device memory unless said otherwise; {@code stream} is a {@code
 * cudaStream_t}, null for the default one, which is libtorch's too. The functions print CUDA errors and go on, or end
 * the process. Each method is looked up when it is first called.
 */
public interface CudaLibrary extends Library {

    /**
     * Loads a library, which needs cudart, cublas and cublasLt of its CUDA version.
     *
     * @throws QloraException if it does not load
     */
    static CudaLibrary load(Path file) {
        try {
            return Native.load(file.toAbsolutePath().toString(), CudaLibrary.class);
        } catch (UnsatisfiedLinkError e) {
            throw new QloraException(file + ": does not load: " + e.getMessage(), e);
        }
    }

    // 4 bits

    /** Quantizes n float32 elements to NF4; code is null. */
    void cquantize_blockwise_fp32_nf4(Pointer code, Pointer source, Pointer absmax, Pointer out, int blocksize, int n);

    /** Quantizes n float16 elements to NF4; code is null. */
    void cquantize_blockwise_fp16_nf4(Pointer code, Pointer source, Pointer absmax, Pointer out, int blocksize, int n);

    /** Quantizes n bfloat16 elements to NF4; code is null. */
    void cquantize_blockwise_bf16_nf4(Pointer code, Pointer source, Pointer absmax, Pointer out, int blocksize, int n);

    /** Quantizes n float32 elements to FP4; code is null. */
    void cquantize_blockwise_fp32_fp4(Pointer code, Pointer source, Pointer absmax, Pointer out, int blocksize, int n);

    /** Quantizes n float16 elements to FP4; code is null. */
    void cquantize_blockwise_fp16_fp4(Pointer code, Pointer source, Pointer absmax, Pointer out, int blocksize, int n);

    /** Quantizes n bfloat16 elements to FP4; code is null. */
    void cquantize_blockwise_bf16_fp4(Pointer code, Pointer source, Pointer absmax, Pointer out, int blocksize, int n);

    /** Dequantizes NF4 to n float32 elements; code is null. */
    void cdequantize_blockwise_fp32_nf4(
            Pointer code, Pointer packed, Pointer absmax, Pointer out, int blocksize, int n, Pointer stream);

    /** Dequantizes NF4 to n float16 elements; code is null. */
    void cdequantize_blockwise_fp16_nf4(
            Pointer code, Pointer packed, Pointer absmax, Pointer out, int blocksize, int n, Pointer stream);

    /** Dequantizes NF4 to n bfloat16 elements; code is null. */
    void cdequantize_blockwise_bf16_nf4(
            Pointer code, Pointer packed, Pointer absmax, Pointer out, int blocksize, int n, Pointer stream);

    /** Dequantizes FP4 to n float32 elements; code is null. */
    void cdequantize_blockwise_fp32_fp4(
            Pointer code, Pointer packed, Pointer absmax, Pointer out, int blocksize, int n, Pointer stream);

    /** Dequantizes FP4 to n float16 elements; code is null. */
    void cdequantize_blockwise_fp16_fp4(
            Pointer code, Pointer packed, Pointer absmax, Pointer out, int blocksize, int n, Pointer stream);

    /** Dequantizes FP4 to n bfloat16 elements; code is null. */
    void cdequantize_blockwise_bf16_fp4(
            Pointer code, Pointer packed, Pointer absmax, Pointer out, int blocksize, int n, Pointer stream);

    /** The product of float32 activations [m, k] and a 4-bit matrix [n, k]; quantType 1 is FP4, 2 is NF4; absmax8bit, absmaxCode, absmaxOffset and bias may be null. */
    void cgemm_4bit_fp32(
            Pointer a,
            Pointer packed,
            Pointer absmax,
            Pointer absmax8bit,
            Pointer absmaxCode,
            Pointer absmaxOffset,
            Pointer out,
            Pointer bias,
            int m,
            int n,
            int k,
            int blocksize,
            int quantType,
            Pointer stream);

    /** The product of float16 activations [m, k] and a 4-bit matrix [n, k]; quantType 1 is FP4, 2 is NF4; absmax8bit, absmaxCode, absmaxOffset and bias may be null. */
    void cgemm_4bit_fp16(
            Pointer a,
            Pointer packed,
            Pointer absmax,
            Pointer absmax8bit,
            Pointer absmaxCode,
            Pointer absmaxOffset,
            Pointer out,
            Pointer bias,
            int m,
            int n,
            int k,
            int blocksize,
            int quantType,
            Pointer stream);

    /** The product of bfloat16 activations [m, k] and a 4-bit matrix [n, k]; quantType 1 is FP4, 2 is NF4; absmax8bit, absmaxCode, absmaxOffset and bias may be null. */
    void cgemm_4bit_bf16(
            Pointer a,
            Pointer packed,
            Pointer absmax,
            Pointer absmax8bit,
            Pointer absmaxCode,
            Pointer absmaxOffset,
            Pointer out,
            Pointer bias,
            int m,
            int n,
            int k,
            int blocksize,
            int quantType,
            Pointer stream);

    /** The product of a 4-bit matrix and one float32 vector. */
    void cgemm_4bit_inference_naive_fp32(
            int m,
            int n,
            int k,
            Pointer a,
            Pointer packed,
            Pointer absmax,
            Pointer code,
            Pointer out,
            int lda,
            int ldb,
            int ldc,
            int blocksize,
            Pointer stream);

    /** The product of a 4-bit matrix and one float16 vector. */
    void cgemm_4bit_inference_naive_fp16(
            int m,
            int n,
            int k,
            Pointer a,
            Pointer packed,
            Pointer absmax,
            Pointer code,
            Pointer out,
            int lda,
            int ldb,
            int ldc,
            int blocksize,
            Pointer stream);

    /** The product of a 4-bit matrix and one bfloat16 vector. */
    void cgemm_4bit_inference_naive_bf16(
            int m,
            int n,
            int k,
            Pointer a,
            Pointer packed,
            Pointer absmax,
            Pointer code,
            Pointer out,
            int lda,
            int ldb,
            int ldc,
            int blocksize,
            Pointer stream);

    // 8 bits, block-wise; code points to 256 float32 numbers

    /** Quantizes n float32 elements. */
    void cquantize_blockwise_fp32(Pointer code, Pointer source, Pointer absmax, Pointer out, int blocksize, int n);

    /** Quantizes n float16 elements. */
    void cquantize_blockwise_fp16(Pointer code, Pointer source, Pointer absmax, Pointer out, int blocksize, int n);

    /** Quantizes n bfloat16 elements. */
    void cquantize_blockwise_bf16(Pointer code, Pointer source, Pointer absmax, Pointer out, int blocksize, int n);

    /** Dequantizes to n float32 elements. */
    void cdequantize_blockwise_fp32(
            Pointer code, Pointer codes, Pointer absmax, Pointer out, int blocksize, int n, Pointer stream);

    /** Dequantizes to n float16 elements. */
    void cdequantize_blockwise_fp16(
            Pointer code, Pointer codes, Pointer absmax, Pointer out, int blocksize, int n, Pointer stream);

    /** Dequantizes to n bfloat16 elements. */
    void cdequantize_blockwise_bf16(
            Pointer code, Pointer codes, Pointer absmax, Pointer out, int blocksize, int n, Pointer stream);

    // LLM.int8()

    /** Makes a cuBLASLt context for {@link #cigemmlt_32}. */
    Pointer get_context();

    /** The product of two int8 matrices in int32; returns 0, 1 for an error or 100 for a shape it does not take. */
    int cigemmlt_32(
            Pointer context,
            int m,
            int n,
            int k,
            Pointer a,
            Pointer b,
            Pointer c,
            Pointer rowScale,
            int lda,
            int ldb,
            int ldc,
            Pointer stream);

    /** Scales an int32 product to float16 by the statistics of its rows and columns; bias may be null. */
    void cdequant_mm_int32_fp16(
            Pointer a,
            Pointer rowStats,
            Pointer colStats,
            Pointer out,
            Pointer bias,
            int rows,
            int cols,
            Pointer stream);

    /** Quantizes the rows of a float16 matrix to int8; elements of {@code threshold} and more are left out if it is not 0. */
    void cint8_vector_quant(
            Pointer a, Pointer out, Pointer rowStats, float threshold, int rows, int cols, Pointer stream);

    // Adam

    /** One step of Adam on n float32 parameters with float32 state; unorm may be null, skipZeros is 0 or 1. */
    void cadam32bit_grad_fp32(
            Pointer gradient,
            Pointer parameter,
            Pointer state1,
            Pointer state2,
            Pointer unorm,
            float maxUnorm,
            float paramNorm,
            float beta1,
            float beta2,
            float beta3,
            float alpha,
            float eps,
            float weightDecay,
            int step,
            float lr,
            float gnormScale,
            byte skipZeros,
            int n);

    /** One step of Adam on n float16 parameters with float32 state; unorm may be null, skipZeros is 0 or 1. */
    void cadam32bit_grad_fp16(
            Pointer gradient,
            Pointer parameter,
            Pointer state1,
            Pointer state2,
            Pointer unorm,
            float maxUnorm,
            float paramNorm,
            float beta1,
            float beta2,
            float beta3,
            float alpha,
            float eps,
            float weightDecay,
            int step,
            float lr,
            float gnormScale,
            byte skipZeros,
            int n);

    /** One step of Adam on n bfloat16 parameters with float32 state; unorm may be null, skipZeros is 0 or 1. */
    void cadam32bit_grad_bf16(
            Pointer gradient,
            Pointer parameter,
            Pointer state1,
            Pointer state2,
            Pointer unorm,
            float maxUnorm,
            float paramNorm,
            float beta1,
            float beta2,
            float beta3,
            float alpha,
            float eps,
            float weightDecay,
            int step,
            float lr,
            float gnormScale,
            byte skipZeros,
            int n);

    /** One step of Adam on n float32 parameters with 8-bit state in blocks of 256; skipZeros is 0 or 1. */
    void cadam_8bit_blockwise_grad_fp32(
            Pointer parameter,
            Pointer gradient,
            Pointer state1,
            Pointer state2,
            float beta1,
            float beta2,
            float beta3,
            float alpha,
            float eps,
            int step,
            float lr,
            Pointer qmap1,
            Pointer qmap2,
            Pointer absmax1,
            Pointer absmax2,
            float weightDecay,
            float gnormScale,
            byte skipZeros,
            int n);

    /** One step of Adam on n float16 parameters with 8-bit state in blocks of 256; skipZeros is 0 or 1. */
    void cadam_8bit_blockwise_grad_fp16(
            Pointer parameter,
            Pointer gradient,
            Pointer state1,
            Pointer state2,
            float beta1,
            float beta2,
            float beta3,
            float alpha,
            float eps,
            int step,
            float lr,
            Pointer qmap1,
            Pointer qmap2,
            Pointer absmax1,
            Pointer absmax2,
            float weightDecay,
            float gnormScale,
            byte skipZeros,
            int n);

    /** One step of Adam on n bfloat16 parameters with 8-bit state in blocks of 256; skipZeros is 0 or 1. */
    void cadam_8bit_blockwise_grad_bf16(
            Pointer parameter,
            Pointer gradient,
            Pointer state1,
            Pointer state2,
            float beta1,
            float beta2,
            float beta3,
            float alpha,
            float eps,
            int step,
            float lr,
            Pointer qmap1,
            Pointer qmap2,
            Pointer absmax1,
            Pointer absmax2,
            float weightDecay,
            float gnormScale,
            byte skipZeros,
            int n);

    // Paged memory

    /** Memory that host and device share, paged between them by the driver; never freed by the library. */
    Pointer cget_managed_ptr(long bytes);

    /** Brings managed memory to a device, or to the host where {@code device} is −1. */
    void cprefetch(Pointer memory, long bytes, int device);

    /** Sets n float32 elements of managed memory. */
    void cfill_fp32(Pointer a, Pointer b, float value, NativeLong n);

    /** Sets n bytes of managed memory. */
    void cfill_uint8(Pointer a, Pointer b, byte value, NativeLong n);
}
