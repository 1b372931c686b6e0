package io.github.qlora4j.quant;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.nio.ByteBuffer;
import java.util.stream.IntStream;

/**
 * A matrix {@code [rows, cols]} of small integers, of which each row's columns fall into groups that share a scale and a
 * zero point: element = scale × (code − zero). What GPTQ and AWQ weights are kept as.
 *
 * <p>Files keep codes column by column; here each row is one {@link BitStream}, its columns in the order of their groups,
 * so that a row is worked out from front to back whatever the order of the groups is.
 */
final class GroupedCodes implements AutoCloseable {

    /** Elements that one task works out at least. */
    private static final int TASK = 1 << 15;

    /** Bytes that one view of a tensor's memory spans at most. */
    private static final long WINDOW = 1L << 30;

    private final NDManager owner;
    private final int bits;
    private final int rows;
    private final int cols;
    private final NDArray codes;
    private final NDArray scales;
    private final NDArray zeros;
    private final int[] groupOf;
    private final int[] order;
    private final int[] starts;

    /**
     * Takes over the manager and what it owns.
     *
     * @param codes int32 {@code [rows, words]}, columns in the order of {@link #order(int[])}
     * @param scales float16, bfloat16 or float32 {@code [rows, groups]}
     * @param zeros uint8 {@code [rows, groups]}, what a group's code for 0 is
     * @param groupOf the group of each column
     */
    GroupedCodes(NDManager owner, int bits, NDArray codes, NDArray scales, NDArray zeros, int[] groupOf) {
        this.owner = owner;
        this.bits = bits;
        this.rows = Math.toIntExact(codes.getShape().get(0));
        this.cols = groupOf.length;
        this.codes = codes;
        this.scales = scales;
        this.zeros = zeros;
        this.groupOf = groupOf;
        this.order = order(groupOf);
        this.starts = starts(groupOf, Math.toIntExact(scales.getShape().get(1)));
    }

    /** The columns sorted by group, those of one group as they were; null where they are sorted already. */
    static int[] order(int[] groupOf) {
        boolean sorted = true;
        for (int i = 1; i < groupOf.length && sorted; i++) {
            sorted = groupOf[i - 1] <= groupOf[i];
        }
        if (sorted) {
            return null;
        }
        return IntStream.range(0, groupOf.length)
                .boxed()
                .sorted((a, b) -> Integer.compare(groupOf[a], groupOf[b])) // stable
                .mapToInt(Integer::intValue)
                .toArray();
    }

    private static int[] starts(int[] groupOf, int groups) {
        int[] starts = new int[groups + 1];
        for (int group : groupOf) {
            starts[group + 1]++;
        }
        for (int g = 0; g < groups; g++) {
            starts[g + 1] += starts[g];
        }
        return starts;
    }

    int bits() {
        return bits;
    }

    int rows() {
        return rows;
    }

    int cols() {
        return cols;
    }

    int groups() {
        return starts.length - 1;
    }

    /** The group of each column; not to be changed. */
    int[] groupOf() {
        return groupOf;
    }

    /** {@code [rows, groups]}. */
    NDArray scales() {
        return scales;
    }

    /** uint8 {@code [rows, groups]}. */
    NDArray zeros() {
        return zeros;
    }

    long bytes() {
        return Torch.byteSize(codes)
                + Torch.byteSize(scales)
                + Torch.byteSize(zeros)
                + (order == null ? 0 : 4L * order.length);
    }

    /** Whether groups have as many columns each. */
    boolean groupsAreOfOneSize() {
        return IntStream.range(0, groups()).allMatch(g -> starts[g] == (long) g * cols / groups())
                && cols % groups() == 0;
    }

    /** The codes {@code [rows, cols]} as uint8, columns sorted by group as in {@link #order(int[])}. */
    NDArray inOrder(NDManager manager) {
        return unpack(manager, codes, bits, cols, null);
    }

    /** The codes {@code [rows, cols]} as uint8, columns in their own order. */
    NDArray unpacked(NDManager manager) {
        return unpack(manager, codes, bits, cols, order);
    }

    /**
     * Unpacks rows of bit streams.
     *
     * @param order the column of each place of a stream; null where they are in order
     * @return uint8 {@code [rows, cols]}
     */
    static NDArray unpack(NDManager manager, NDArray packed, int bits, int cols, int[] order) {
        int rows = Math.toIntExact(packed.getShape().get(0));
        NDArray target = Torch.empty(manager, Dtype.UINT8, rows, cols);
        windows(rows, cols, (first, count) -> {
            ByteBuffer in = rowsOf(packed, first, count);
            ByteBuffer out = rowsOf(target, first, count);
            tasks(count, cols, (from, to) -> {
                int[] words = new int[BitStream.words(cols, bits)];
                byte[] codes = new byte[cols];
                byte[] values = order == null ? codes : new byte[cols];
                for (int r = from; r < to; r++) {
                    in.asIntBuffer().get(r * words.length, words);
                    BitStream.unpack(words, bits, codes, cols);
                    for (int k = 0; k < cols && order != null; k++) {
                        values[order[k]] = codes[k];
                    }
                    out.put(r * cols, values);
                }
            });
        });
        return target;
    }

    /** Packs codes {@code [rows, cols]}, uint8, each row in an order of its columns; null for their own. */
    static NDArray pack(NDManager owner, NDArray unpacked, int bits, int[] order) {
        int rows = Math.toIntExact(unpacked.getShape().get(0));
        int cols = Math.toIntExact(unpacked.getShape().get(1));
        int length = BitStream.words(cols, bits);
        NDArray packed = Torch.empty(owner, Dtype.INT32, rows, length);
        windows(rows, cols, (first, count) -> {
            ByteBuffer in = rowsOf(unpacked, first, count);
            ByteBuffer out = rowsOf(packed, first, count);
            tasks(count, cols, (from, to) -> {
                byte[] values = new byte[cols];
                byte[] codes = order == null ? values : new byte[cols];
                int[] words = new int[length];
                for (int r = from; r < to; r++) {
                    in.get(r * cols, values);
                    for (int k = 0; k < cols && order != null; k++) {
                        codes[k] = values[order[k]];
                    }
                    BitStream.pack(codes, cols, bits, words);
                    out.asIntBuffer().put(r * length, words);
                }
            });
        });
        return packed;
    }

    /** Works the matrix out: scale × (code − zero) in float32, rounded once. */
    NDArray dense(Dtype compute, Scratch scratch) {
        NDArray target = scratch.buffer(compute, rows, cols);
        boolean wide = switch (compute) {
            case FLOAT32 -> true;
            case FLOAT16, BFLOAT16 -> false;
            default ->
                throw new QloraException("dtype " + compute.torchName()
                        + " cannot be dequantized to; expected float32, float16 or bfloat16");
        };
        windows(rows, Math.max((long) cols * compute.bytes(), 4L * groups()), (first, count) -> {
            ByteBuffer words = rowsOf(codes, first, count);
            ByteBuffer out = rowsOf(target, first, count);
            ByteBuffer factors = rowsOf(scales, first, count);
            ByteBuffer offsets = rowsOf(zeros, first, count);
            tasks(count, cols, (from, to) -> {
                Row row = new Row(this);
                int[] floats = wide ? new int[cols] : null;
                short[] halves = wide ? null : new short[cols];
                for (int r = from; r < to; r++) {
                    row.read(words, factors, offsets, r);
                    if (wide) {
                        row.floats(floats);
                        out.asIntBuffer().put(r * cols, floats);
                    } else {
                        row.halves(halves, compute);
                        out.asShortBuffer().put(r * cols, halves);
                    }
                }
            });
        });
        return target;
    }

    private static ByteBuffer rowsOf(NDArray tensor, int first, int count) {
        long row = Torch.byteSize(tensor) / tensor.getShape().get(0);
        return Torch.bytes(tensor, first * row, count * row);
    }

    private interface Range {
        void run(int from, int to);
    }

    private static void windows(int rows, long rowBytes, Range window) {
        int most = (int) Math.max(1, WINDOW / rowBytes);
        for (int first = 0; first < rows; first += most) {
            window.run(first, Math.min(most, rows - first));
        }
    }

    private static void tasks(int count, int cols, Range task) {
        int each = Math.max(1, TASK / cols);
        int tasks = (count + each - 1) / each;
        IntStream all = IntStream.range(0, tasks);
        (tasks > 1 ? all.parallel() : all).forEach(t -> task.run(t * each, Math.min(count, (t + 1) * each)));
    }

    /** One row on its way from codes to numbers; one thread's. */
    private static final class Row {

        private final GroupedCodes matrix;
        private final int[] words;
        private final byte[] codes;
        private final float[] scales;
        private final byte[] zeros;
        private final int[] table;

        Row(GroupedCodes matrix) {
            this.matrix = matrix;
            words = new int[Math.toIntExact(matrix.codes.getShape().get(1))];
            codes = new byte[matrix.cols];
            scales = new float[matrix.groups()];
            zeros = new byte[matrix.groups()];
            table = new int[1 << matrix.bits];
        }

        void read(ByteBuffer packed, ByteBuffer factors, ByteBuffer offsets, int row) {
            packed.asIntBuffer().get(row * words.length, words);
            BitStream.unpack(words, matrix.bits, codes, matrix.cols);
            offsets.get(row * zeros.length, zeros);
            int[] raw = new int[scales.length];
            Blocks.load(Torch.dtype(matrix.scales), factors, (long) row * scales.length, scales.length, raw);
            for (int g = 0; g < raw.length; g++) {
                scales[g] = Float.intBitsToFloat(raw[g]);
            }
        }

        /** The bits of float32. */
        void floats(int[] out) {
            for (int g = 0; g < scales.length; g++) {
                int to = matrix.starts[g + 1];
                int from = matrix.starts[g];
                boolean listed = list(g, to - from, null);
                for (int k = from; k < to; k++) {
                    int code = codes[k] & 0xff;
                    out[column(k)] = listed ? table[code] : Float.floatToRawIntBits(value(g, code));
                }
            }
        }

        void halves(short[] out, Dtype dtype) {
            for (int g = 0; g < scales.length; g++) {
                int to = matrix.starts[g + 1];
                int from = matrix.starts[g];
                boolean listed = list(g, to - from, dtype);
                for (int k = from; k < to; k++) {
                    int code = codes[k] & 0xff;
                    out[column(k)] = listed ? (short) table[code] : half(value(g, code), dtype);
                }
            }
        }

        private int column(int k) {
            return matrix.order == null ? k : matrix.order[k];
        }

        /** Lists what each code of a group stands for, where the group is larger than the list. */
        private boolean list(int group, int size, Dtype half) {
            if (size < table.length) {
                return false;
            }
            for (int code = 0; code < table.length; code++) {
                float value = value(group, code);
                table[code] = half == null ? Float.floatToRawIntBits(value) : half(value, half);
            }
            return true;
        }

        private float value(int group, int code) {
            return scales[group] * (code - (zeros[group] & 0xff));
        }

        private static short half(float value, Dtype dtype) {
            return dtype == Dtype.FLOAT16 ? HalfFloat.toFp16(value) : HalfFloat.toBf16(value);
        }
    }

    @Override
    public void close() {
        owner.close();
    }
}
