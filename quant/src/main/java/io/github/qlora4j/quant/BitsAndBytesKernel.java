package io.github.qlora4j.quant;

import com.sun.jna.Native;
import com.sun.jna.Pointer;
import io.github.qlora4j.quant.bitsandbytes.CpuLibrary;
import io.github.qlora4j.quant.torch.Dtype;
import java.nio.ByteBuffer;

/**
 * The kernel of bitsandbytes' CPU library, used where it gives code × absmax exactly.
 *
 * <p>It has no 4-bit quantizer, and its 8-bit one makes its table of 65,536 cells anew at each call, which for the scales
 * of a matrix takes longer than all else: {@link BuiltinKernel} does both. Its 4-bit dequantizer counts blocks within a row and
 * is called with rows that are whole blocks, which also lets it use all cores; the last, partial block is ours.
 */
final class BitsAndBytesKernel implements Kernel {

    static final BitsAndBytesKernel INSTANCE = new BitsAndBytesKernel(true);

    /** For absmax that {@link #hasTiny} has looked at: going through it takes a tenth of the time of a call. */
    private static final BitsAndBytesKernel LOOKED_AT = new BitsAndBytesKernel(false);

    /** Elements a row: the largest blocksize, so that every blocksize divides it. */
    private static final int ROW = 4096;

    /** 2^-118 as float bits. With a smaller absmax a product can be subnormal, which AVX-512 BF16 makes 0. */
    private static final int TINY = 127 - 118 << 23;

    private final boolean looks;

    private BitsAndBytesKernel(boolean looks) {
        this.looks = looks;
    }

    /** The kernel for these absmax alone, which are gone through now and not at each call. */
    static Kernel forAbsmax(ByteBuffer absmax) {
        return hasTiny(absmax) ? INSTANCE : LOOKED_AT;
    }

    @Override
    public String name() {
        return "bitsandbytes";
    }

    @Override
    public void quantizeFourBit(
            QuantType type, int blocksize, Dtype dtype, ByteBuffer source, ByteBuffer packed, ByteBuffer absmax) {
        BuiltinKernel.INSTANCE.quantizeFourBit(type, blocksize, dtype, source, packed, absmax);
    }

    @Override
    public void dequantizeFourBit(
            QuantType type, int blocksize, ByteBuffer packed, ByteBuffer absmax, Dtype dtype, ByteBuffer target) {
        long elements =
                Blocks.check(dtype, target, blocksize, (target.remaining() / dtype.bytes() + 1L) / 2, packed, absmax);
        if (ROW % blocksize != 0 || looks && dtype == Dtype.BFLOAT16 && hasTiny(absmax)) {
            BuiltinKernel.INSTANCE.dequantizeFourBit(type, blocksize, packed, absmax, dtype, target);
            return;
        }
        long whole = elements / blocksize * blocksize;
        long inRows = whole / ROW * ROW;
        if (inRows > 0) {
            call(type, dtype, address(packed, 0), address(absmax, 0), address(target, 0), blocksize, inRows / ROW, ROW);
        }
        if (whole > inRows) {
            call(
                    type,
                    dtype,
                    address(packed, inRows / 2),
                    address(absmax, inRows / blocksize * Float.BYTES),
                    address(target, inRows * dtype.bytes()),
                    blocksize,
                    1,
                    whole - inRows);
        }
        if (elements > whole) {
            BuiltinKernel.INSTANCE.dequantizeFourBit(
                    type,
                    blocksize,
                    from(packed, whole / 2),
                    from(absmax, whole / blocksize * Float.BYTES),
                    dtype,
                    from(target, whole * dtype.bytes()));
        }
    }

    private static void call(
            QuantType type, Dtype dtype, long packed, long absmax, long out, long blocksize, long m, long n) {
        switch (dtype) {
            case FLOAT32 -> {
                if (type == QuantType.NF4) {
                    CpuLibrary.cdequantize_blockwise_cpu_nf4_fp32(packed, absmax, out, blocksize, m, n);
                } else {
                    CpuLibrary.cdequantize_blockwise_cpu_fp4_fp32(packed, absmax, out, blocksize, m, n);
                }
            }
            case BFLOAT16 -> {
                if (type == QuantType.NF4) {
                    CpuLibrary.cdequantize_blockwise_cpu_nf4_bf16(packed, absmax, out, blocksize, m, n);
                } else {
                    CpuLibrary.cdequantize_blockwise_cpu_fp4_bf16(packed, absmax, out, blocksize, m, n);
                }
            }
            default -> {
                if (type == QuantType.NF4) {
                    CpuLibrary.cdequantize_blockwise_cpu_nf4_fp16(packed, absmax, out, blocksize, m, n);
                } else {
                    CpuLibrary.cdequantize_blockwise_cpu_fp4_fp16(packed, absmax, out, blocksize, m, n);
                }
            }
        }
    }

    private static boolean hasTiny(ByteBuffer absmax) {
        int[] bits = new int[absmax.remaining() / Float.BYTES];
        Blocks.little(absmax).asIntBuffer().get(bits);
        int least = Integer.MAX_VALUE;
        for (int magnitude : bits) {
            // 0 becomes the largest: code × 0 is exact
            least = Math.min(least, (magnitude & 0x7fffffff) - 1 & 0x7fffffff);
        }
        return least < TINY - 1;
    }

    @Override
    public void quantizeEightBit(
            DynamicMap map, int blocksize, Dtype dtype, ByteBuffer source, ByteBuffer codes, ByteBuffer absmax) {
        BuiltinKernel.INSTANCE.quantizeEightBit(map, blocksize, dtype, source, codes, absmax);
    }

    @Override
    public void dequantizeEightBit(
            DynamicMap map, int blocksize, ByteBuffer codes, ByteBuffer absmax, Dtype dtype, ByteBuffer target) {
        long elements = Blocks.check(dtype, target, blocksize, target.remaining() / dtype.bytes(), codes, absmax);
        if (elements == 0) {
            return;
        }
        long code = address(map.memory(), 0);
        long from = address(codes, 0);
        long scales = address(absmax, 0);
        long out = address(target, 0);
        switch (dtype) {
            case FLOAT32 -> CpuLibrary.cdequantize_blockwise_cpu_fp32(code, from, scales, out, blocksize, elements);
            case BFLOAT16 -> CpuLibrary.cdequantize_blockwise_cpu_bf16(code, from, scales, out, blocksize, elements);
            default -> CpuLibrary.cdequantize_blockwise_cpu_fp16(code, from, scales, out, blocksize, elements);
        }
    }

    private static ByteBuffer from(ByteBuffer memory, long offset) {
        return memory.duplicate().position((int) (memory.position() + offset));
    }

    private static long address(ByteBuffer memory, long offset) {
        return Pointer.nativeValue(Native.getDirectBufferPointer(memory)) + memory.position() + offset;
    }
}
