package io.github.qlora4j.quant;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.bitsandbytes.GemvLibrary;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import java.util.stream.IntStream;

/**
 * bitsandbytes' {@code gemv_4bit_inference_cpu}: what its Linear4bit computes outside training on a CPU with AVX-512 BF16.
 *
 * <p>The weight is laid out anew as {@code _convert_weight_packed_for_cpu} of its functional.py does: 32 rows beside each
 * other, absmax transposed and rounded to bfloat16.
 */
final class FourBitProduct implements ReadyProduct {

    /** Rows of the weight that lie beside each other. */
    private static final int ROWS = 32;

    private final NDManager owner;
    private final QuantType type;
    private final int blocksize;
    private final long rows;
    private final long cols;
    private final ProductShape shape;
    private final NDArray packed;
    private final NDArray absmax;

    /** Room for weights of {@code rows} outputs in all; {@link #layOut} fills it. */
    FourBitProduct(FourBitConfig config, long rows, long cols) {
        this.owner = Torch.newManager();
        this.type = config.type();
        this.blocksize = config.blocksize();
        this.rows = rows;
        this.cols = cols;
        this.shape = new ProductShape(Dtype.BFLOAT16, rows, cols);
        this.packed = Torch.empty(owner, Dtype.UINT8, rows, cols / 2);
        this.absmax = Torch.empty(owner, Dtype.BFLOAT16, cols / blocksize, rows);
    }

    /** Whether the kernel takes such a weight on this machine. */
    static boolean fits(FourBitConfig config, long rows, long cols, Dtype compute) {
        return compute == Dtype.BFLOAT16
                && rows % ROWS == 0
                && cols % config.blocksize() == 0
                && rows * cols / 2 <= Integer.MAX_VALUE - 8
                && GemvLibrary.usable();
    }

    /**
     * Lays a weight out.
     *
     * @param first its first output among all
     * @param count its outputs, a multiple of 32 like {@code first}
     * @param bytes two elements each, the first in the upper half, row after row
     * @param scales a float32 a block, row after row
     */
    void layOut(long first, long count, ByteBuffer bytes, FloatBuffer scales) {
        int width = (int) (cols / 2);
        ByteBuffer target = Torch.bytes(packed, first * width, count * width);
        IntStream.range(0, (int) (count / ROWS)).parallel().forEach(group -> {
            byte[] source = new byte[ROWS * width];
            bytes.get(bytes.position() + group * source.length, source);
            target.put(group * source.length, besideEachOther(source, width));
        });
        int perRow = (int) (cols / blocksize);
        ShortBuffer rounded = Torch.bytes(absmax, 0, 2L * perRow * rows).asShortBuffer();
        float[] row = new float[perRow];
        for (int r = 0; r < count; r++) {
            scales.get(r * perRow, row);
            for (int b = 0; b < perRow; b++) {
                rounded.put((int) (b * rows + first + r), HalfFloat.toBf16(row[b]));
            }
        }
    }

    /** Of each pair of columns the codes of 32 rows in 32 bytes: rows 0 to 15 in the lower halves, 16 to 31 in the upper. */
    private static byte[] besideEachOther(byte[] source, int width) {
        byte[] out = new byte[source.length];
        for (int pair = 0; pair < width; pair++) {
            for (int row = 0; row < ROWS / 2; row++) {
                int low = source[row * width + pair] & 0xff;
                int high = source[(row + ROWS / 2) * width + pair] & 0xff;
                out[pair * ROWS + 2 * row] = (byte) (high & 0xf0 | low >> 4);
                out[pair * ROWS + 2 * row + 1] = (byte) (high << 4 | low & 0x0f);
            }
        }
        return out;
    }

    @Override
    public Runnable between(NDArray x, NDArray y) {
        shape.require(x, y);
        long count = Torch.shape(x)[0];
        boolean nf4 = type == QuantType.NF4;
        long from = Torch.address(x);
        long weight = Torch.address(packed);
        long scales = Torch.address(absmax);
        long to = Torch.address(y);
        return () -> GemvLibrary.multiply(nf4, count, rows, cols, from, weight, scales, to, blocksize);
    }

    @Override
    public Dtype dtype() {
        return Dtype.BFLOAT16;
    }

    @Override
    public int mostRows() {
        return 32;
    }

    @Override
    public long bytes() {
        return rows * cols / 2 + 2 * rows * (cols / blocksize);
    }

    @Override
    public void close() {
        owner.close();
    }
}
