package io.github.qlora4j.quant.scheme;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.DynamicMap;
import io.github.qlora4j.quant.Kernel;
import io.github.qlora4j.quant.KernelChoice;
import io.github.qlora4j.quant.Kernels;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;

/**
 * Any code, block-wise or otherwise: each weight over its group's largest absolute value becomes the nearest number.
 *
 * <p>NF4 and FP4 in blocks give the very numbers of bitsandbytes. So do other codes but for its 8-bit CPU kernel, which
 * finds a number by way of 65,536 cells and takes a neighbour of the nearest now and then.
 *
 * @param code the numbers
 * @param granularity which weights share a scale
 * @param doubleQuant whether the scales are quantized too: to 8 bits, in blocks of 256 around their mean, as QLoRA does
 */
public record Coded(Code code, Granularity granularity, boolean doubleQuant) implements Scheme {

    private static final int NESTED_BLOCKSIZE = 256;

    /** The least that is divided by, as in bitsandbytes. */
    private static final float LEAST = 1e-38f;

    /** Refuses double quantization of a code without 0: a block of zeros would not come back as zeros. */
    public Coded {
        if (doubleQuant && !code.hasZero()) {
            throw new QloraException(code.name() + ": double quantization needs a code that holds 0");
        }
    }

    @Override
    public String name() {
        return code.name() + (doubleQuant ? SchemeNames.DOUBLE : "");
    }

    @Override
    public Quantized quantize(float[] values, long... shape) {
        Groups groups = Groups.of(granularity, values.length, shape);
        float[] scales = new float[groups.count()];
        groups.forEach((group, first, stride, count) -> {
            float absmax = Groups.absmax(values, first, stride, count);
            // bitsandbytes keeps the absmax of a partial block so raised
            scales[group] = absmax > 0 && isPartial(groups, group) ? Math.max(LEAST, absmax) : absmax;
        });
        byte[] codes = encode(code, groups, values, scales);
        long bits = (long) code.bits() * codes.length;
        return doubleQuant
                ? new Result(groups.shape(), granularity, code, codes, nested(scales), bits + nestedBits(scales.length))
                : new Result(
                        groups.shape(), granularity, code, codes, scales, bits + (long) Float.SIZE * scales.length);
    }

    /** The codes of a tensor for scales that are given. */
    static byte[] encode(Code code, Groups groups, float[] values, float[] scales) {
        float[] bounds = code.bounds();
        byte[] codes = new byte[values.length];
        groups.forEach((group, first, stride, count) -> {
            float scale = Math.max(LEAST, scales[group]);
            float reciprocal = 1f / scale;
            // bitsandbytes multiplies by the reciprocal, and divides in the last, partial block
            boolean partial = isPartial(groups, group);
            for (int k = 0, i = first; k < count; k++, i += stride) {
                codes[i] = (byte) Code.nearest(bounds, partial ? values[i] / scale : values[i] * reciprocal);
            }
        });
        return codes;
    }

    private static boolean isPartial(Groups groups, int group) {
        return group == groups.count() - 1
                && groups.elements() % Math.max(1, groups.granularity().blocksize()) != 0;
    }

    /** The scales there and back: what is left of them after double quantization. */
    private static float[] nested(float[] scales) {
        Kernel kernel = Kernels.choose(KernelChoice.BUILTIN);
        long blocks = (scales.length - 1) / NESTED_BLOCKSIZE + 1;
        try (NDManager manager = Torch.newManager()) {
            NDArray floats = Torch.ofFloats(manager, scales, scales.length);
            float mean = Normal.Operators.SCRIPT.tensor(manager, "mean", floats).getFloat();
            float[] centred = new float[scales.length];
            for (int i = 0; i < centred.length; i++) {
                centred[i] = scales[i] - mean;
            }
            long bytes = Torch.byteSize(floats);
            NDArray in = Torch.ofFloats(manager, centred, scales.length);
            NDArray codes = Torch.empty(manager, Dtype.UINT8, scales.length);
            NDArray absmax = Torch.empty(manager, Dtype.FLOAT32, blocks);
            kernel.quantizeEightBit(
                    DynamicMap.SIGNED,
                    NESTED_BLOCKSIZE,
                    Dtype.FLOAT32,
                    Torch.bytes(in, 0, bytes),
                    Torch.bytes(codes, 0, scales.length),
                    Torch.bytes(absmax, 0, Torch.byteSize(absmax)));
            kernel.dequantizeEightBit(
                    DynamicMap.SIGNED,
                    NESTED_BLOCKSIZE,
                    Torch.bytes(codes, 0, scales.length),
                    Torch.bytes(absmax, 0, Torch.byteSize(absmax)),
                    Dtype.FLOAT32,
                    Torch.bytes(floats, 0, bytes));
            float[] back = Torch.toFloats(floats);
            for (int i = 0; i < back.length; i++) {
                back[i] += mean;
            }
            return back;
        }
    }

    private static long nestedBits(long scales) {
        long blocks = (scales - 1) / NESTED_BLOCKSIZE + 1;
        return Byte.SIZE * scales + Float.SIZE * (blocks + 1); // and the mean
    }

    /**
     * Numbers of a code and the scales of their groups: an element is {@code value of the code × scale}.
     *
     * @param code what the codes number; as a byte is signed, {@code code & 0xff}
     * @param scales absmax of each group, after double quantization what that has left of it
     */
    public record Result(long[] shape, Granularity granularity, Code code, byte[] codes, float[] scales, long bits)
            implements Quantized {

        @Override
        public float[] dequantize() {
            float[] numbers = code.values();
            float[] values = new float[codes.length];
            Groups.of(granularity, codes.length, shape).forEach((group, first, stride, count) -> {
                for (int k = 0, i = first; k < count; k++, i += stride) {
                    values[i] = numbers[codes[i] & 0xff] * scales[group];
                }
            });
            return values;
        }
    }
}
