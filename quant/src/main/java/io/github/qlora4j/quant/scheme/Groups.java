package io.github.qlora4j.quant.scheme;

import io.github.qlora4j.quant.QloraException;
import java.util.Arrays;
import java.util.stream.IntStream;

/** The weights of a flat tensor that share a scale, group by group, over all cores. */
record Groups(Granularity granularity, long[] shape, int rows, int cols) {

    /** Works on one group: the elements {@code first}, {@code first + stride}, … , {@code count} of them. */
    interface Task {
        void run(int group, int first, int stride, int count);
    }

    /**
     * The groups of a tensor; what is not a matrix counts as one, with the last length for its columns.
     *
     * @param given the tensor's lengths; none for one row
     * @throws IllegalArgumentException if the shape is not that of so many elements
     */
    static Groups of(Granularity granularity, int elements, long... given) {
        long[] shape = given.length == 0 ? new long[] {elements} : given.clone();
        long product = Arrays.stream(shape).reduce(1, Math::multiplyExact);
        if (product != elements || elements == 0) {
            throw new IllegalArgumentException(
                    "shape " + Arrays.toString(shape) + " does not fit " + elements + " elements");
        }
        int cols = (int) shape[shape.length - 1];
        return new Groups(granularity, shape, elements / cols, cols);
    }

    int elements() {
        return rows * cols;
    }

    int count() {
        return switch (granularity.kind()) {
            case TENSOR -> 1;
            case ROW -> rows;
            case COLUMN -> cols;
            case BLOCK -> (elements() - 1) / granularity.blocksize() + 1;
        };
    }

    void forEach(Task task) {
        IntStream all = IntStream.range(0, count());
        (count() > 1 ? all.parallel() : all).forEach(g -> {
            switch (granularity.kind()) {
                case TENSOR -> task.run(g, 0, 1, elements());
                case ROW -> task.run(g, g * cols, 1, cols);
                case COLUMN -> task.run(g, g, cols, rows);
                case BLOCK -> {
                    int first = g * granularity.blocksize();
                    task.run(g, first, 1, Math.min(granularity.blocksize(), elements() - first));
                }
            }
        });
    }

    /** The largest absolute value of a group. */
    static float absmax(float[] values, int first, int stride, int count) {
        float largest = 0;
        for (int k = 0, i = first; k < count; k++, i += stride) {
            largest = Math.max(largest, Math.abs(finite(values, i)));
        }
        return largest;
    }

    /** An element, which must be a number. */
    static float finite(float[] values, int i) {
        float value = values[i];
        if (!Float.isFinite(value)) {
            throw new QloraException(
                    "element " + i + " is " + value + "; a NaN or infinite weight cannot be quantized");
        }
        return value;
    }
}
