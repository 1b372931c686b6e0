package io.github.qlora4j.quant;

import io.github.qlora4j.quant.torch.Dtype;
import java.nio.ByteBuffer;

/**
 * Who quantizes and dequantizes. Both kernels give the same bytes: those of bitsandbytes 0.50.2 on an x86-64 CPU.
 *
 * <p>All memory is direct, little-endian and the caller's, from a buffer's position to its limit; positions are left
 * as they were. The number of elements is that of the 16- or 32-bit side. A matrix too large for a buffer is handled
 * in parts that begin where a block begins. Kernels hold no state and may be called from several threads.
 */
public sealed interface Kernel permits BuiltinKernel, BitsAndBytesKernel {

    /** {@code builtin} or {@code bitsandbytes}. */
    String name();

    /**
     * Quantizes to four bits, two elements a byte, the first in the upper half.
     *
     * @param source elements of {@code dtype}: float32, float16 or bfloat16
     * @param packed receives half a byte an element; of an odd last one the lower half is what 0 becomes
     * @param absmax receives a float32 a block
     * @throws QloraException if an element is NaN or infinite
     */
    void quantizeFourBit(
            QuantType type, int blocksize, Dtype dtype, ByteBuffer source, ByteBuffer packed, ByteBuffer absmax);

    /** Computes code × absmax in float32 and rounds it once to {@code dtype}. */
    void dequantizeFourBit(
            QuantType type, int blocksize, ByteBuffer packed, ByteBuffer absmax, Dtype dtype, ByteBuffer target);

    /**
     * Quantizes to eight bits.
     *
     * @param source elements of {@code dtype}: float32, float16 or bfloat16
     * @param codes receives a byte an element
     * @param absmax receives a float32 a block
     * @throws QloraException if an element is NaN or infinite
     */
    void quantizeEightBit(
            DynamicMap map, int blocksize, Dtype dtype, ByteBuffer source, ByteBuffer codes, ByteBuffer absmax);

    /** Computes map × absmax in float32 and rounds it once to {@code dtype}. */
    void dequantizeEightBit(
            DynamicMap map, int blocksize, ByteBuffer codes, ByteBuffer absmax, Dtype dtype, ByteBuffer target);
}
