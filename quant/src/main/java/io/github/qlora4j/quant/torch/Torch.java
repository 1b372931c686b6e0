package io.github.qlora4j.quant.torch;

import ai.djl.Device;
import ai.djl.engine.Engine;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.JniUtils;
import com.sun.jna.Native;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.Reason;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * Makes, casts, copies and addresses tensors of every {@link Dtype} on DJL's PyTorch engine.
 *
 * <p>The engine starts on first use. Every method that makes a tensor takes the manager that owns it. This class is
 * the only one that may name {@code DataType.BFLOAT16}'s substitute: DJL 0.35's own calls end the JVM on bfloat16.
 */
public final class Torch {

    private static final long MAX_VIEW = Integer.MAX_VALUE - 8L;

    private Torch() {}

    /**
     * Starts the engine; later calls do nothing.
     *
     * @throws QloraException if the native library cannot be loaded
     */
    public static void start() {
        try {
            Started.ensure();
        } catch (ExceptionInInitializerError e) {
            if (e.getCause() instanceof QloraException told) {
                throw told;
            }
            throw e;
        }
    }

    /** Opens a manager of CPU tensors that nothing else owns; the caller closes it. */
    public static NDManager newManager() {
        start();
        return NDManager.newBaseManager(Device.cpu(), "PyTorch");
    }

    /** A tensor whose elements are whatever the memory held. */
    public static NDArray empty(NDManager manager, Dtype dtype, long... shape) {
        return operators().tensor(manager, "empty", shape, dtype.code());
    }

    /** A tensor of zeros. */
    public static NDArray zeros(NDManager manager, Dtype dtype, long... shape) {
        return operators().tensor(manager, "zeros", shape, dtype.code());
    }

    /** A contiguous copy in another element type, rounded to nearest even; always a new tensor. */
    public static NDArray cast(NDManager manager, NDArray tensor, Dtype dtype) {
        return operators().tensor(manager, "cast", tensor, dtype.code());
    }

    /** A contiguous copy. */
    public static NDArray copy(NDManager manager, NDArray tensor) {
        return operators().tensor(manager, "copy", tensor);
    }

    /** Copies {@code source} over {@code target}'s elements, casting; the shapes must broadcast. */
    public static void assign(NDArray target, NDArray source) {
        operators().run("assign", target, source);
    }

    /** The element type, bfloat16 included. */
    public static Dtype dtype(NDArray tensor) {
        return switch (tensor.getDataType()) {
            case FLOAT32 -> Dtype.FLOAT32;
            case FLOAT64 -> Dtype.FLOAT64;
            case FLOAT16 -> Dtype.FLOAT16;
            case UINT8 -> Dtype.UINT8;
            case INT32 -> Dtype.INT32;
            case INT8 -> Dtype.INT8;
            case INT64 -> Dtype.INT64;
            case BOOLEAN -> Dtype.BOOL;
            default -> Dtype.ofCode(TensorShim.dtype((PtNDArray) tensor));
        };
    }

    /** The shape as plain numbers. */
    public static long[] shape(NDArray tensor) {
        return tensor.getShape().getShape();
    }

    /** Bytes that the elements take. */
    public static long byteSize(NDArray tensor) {
        return tensor.getShape().size() * dtype(tensor).bytes();
    }

    /**
     * The address of a CPU tensor's first element, for native calls.
     *
     * <p>Valid while the tensor is open. The tensor must be contiguous.
     */
    public static long address(NDArray tensor) {
        if (tensor.getShape().size() == 0) {
            return 0;
        }
        return TensorShim.address((PtNDArray) tensor);
    }

    /**
     * A little-endian view of a contiguous CPU tensor's own memory; writing to it writes to the tensor.
     *
     * <p>Valid while the tensor is open: a view of a closed tensor must not be touched.
     *
     * @param offset the first byte, a multiple of the element size
     * @param length bytes, at most 2 GiB
     */
    public static ByteBuffer bytes(NDArray tensor, long offset, long length) {
        int size = dtype(tensor).bytes();
        long total = tensor.getShape().size() * size;
        if (offset < 0 || length < 0 || offset > total - length || length > MAX_VIEW || offset % size != 0) {
            throw new IllegalArgumentException(
                    "bytes " + offset + " to " + (offset + length) + " of a tensor of " + total + " bytes");
        }
        if (length == 0) {
            return ByteBuffer.allocateDirect(0).order(ByteOrder.LITTLE_ENDIAN);
        }
        long elements = (length + size - 1) / size;
        ByteBuffer view = window(tensor, offset / size, elements);
        view.limit((int) length);
        return view.slice().order(ByteOrder.LITTLE_ENDIAN);
    }

    private static ByteBuffer window(NDArray tensor, long from, long elements) {
        if (from == 0 && tensor.getShape().size() == elements) {
            return JniUtils.getByteBuffer((PtNDArray) tensor, true);
        }
        try (NDArray part = operators().tensor(tensor.getManager(), "window", tensor, from, elements)) {
            return JniUtils.getByteBuffer((PtNDArray) part, true);
        }
    }

    /**
     * A tensor over memory that the caller owns, without a copy.
     *
     * @param memory a direct buffer, which must outlive the tensor; its position and limit are not looked at
     */
    public static NDArray wrap(NDManager manager, ByteBuffer memory, Dtype dtype, long... shape) {
        long elements = new Shape(shape).size();
        if (!memory.isDirect() || memory.capacity() < elements * dtype.bytes()) {
            throw new IllegalArgumentException(
                    "expected a direct buffer of at least " + elements * dtype.bytes() + " bytes, got " + memory);
        }
        return Started.shim.wrap((PtNDManager) manager, Native.getDirectBufferPointer(memory), dtype, shape);
    }

    /** A float32 tensor of the given values. */
    public static NDArray ofFloats(NDManager manager, float[] values, long... shape) {
        NDArray tensor = empty(manager, Dtype.FLOAT32, shapeOr(shape, values.length));
        bytes(tensor, 0, 4L * values.length).asFloatBuffer().put(values);
        return tensor;
    }

    /** An int64 tensor of the given values, as indices are. */
    public static NDArray ofLongs(NDManager manager, long[] values, long... shape) {
        NDArray tensor = empty(manager, Dtype.INT64, shapeOr(shape, values.length));
        bytes(tensor, 0, 8L * values.length).asLongBuffer().put(values);
        return tensor;
    }

    /** An int64 tensor of the given values, as indices are. */
    public static NDArray ofInts(NDManager manager, int[] values, long... shape) {
        long[] wide = new long[values.length];
        for (int i = 0; i < wide.length; i++) {
            wide[i] = values[i];
        }
        return ofLongs(manager, wide, shape);
    }

    private static long[] shapeOr(long[] shape, int length) {
        return shape.length == 0 && length != 1 ? new long[] {length} : shape;
    }

    /** The elements as floats, whatever the element type. */
    public static float[] toFloats(NDArray tensor) {
        try (NDManager scratch = newManager();
                NDArray floats = cast(scratch, tensor, Dtype.FLOAT32)) {
            float[] values = new float[Math.toIntExact(floats.getShape().size())];
            bytes(floats, 0, 4L * values.length).asFloatBuffer().get(values);
            return values;
        }
    }

    /** Whether no element is NaN or infinite; nothing of the tensor's size is allocated. */
    public static boolean isFinite(NDArray tensor) {
        return operators().integer("is_finite", tensor) == 1;
    }

    /** The threads that one operator is spread over. */
    public static int threads() {
        start();
        return JniUtils.getNumThreads();
    }

    /**
     * Sets the threads that one operator is spread over, for the whole JVM.
     *
     * @throws IllegalArgumentException if {@code n} is less than 1
     */
    public static void setThreads(int n) {
        if (n < 1) {
            throw new IllegalArgumentException("must be >= 1: threads=" + n);
        }
        start();
        JniUtils.setNumThreads(n);
    }

    /**
     * Ends the operators' threads that wait for the next operator of this thread; it starts them anew.
     *
     * <p>They wait busily for some milliseconds, and hold cores that Java's own threads could have. Worth its tenth of a
     * millisecond before long work on those.
     */
    public static void endWaitingThreads() {
        start();
        Started.shim.endWaitingThreads();
    }

    /** Gives freed memory that glibc keeps back to the system, after something that needed far more than what follows. */
    public static void giveBackFreedMemory() {
        start();
        ProcessSettings.giveBackFreedMemory();
    }

    private static TorchScript operators() {
        start();
        return Operators.SCRIPT;
    }

    private static final class Operators {
        static final TorchScript SCRIPT = TorchScript.load(Torch.class, "tensors.py");
    }

    private static final class Started {
        static final ShimLibrary shim;

        static {
            defaultProperty("OPT_OUT_TRACKING", "true");
            defaultProperty("RUST_FLAVOR", "cpu");
            if (System.getenv("PYTORCH_LIBRARY_PATH") == null) {
                defaultProperty("PYTORCH_FLAVOR", "cpu");
            }
            ProcessSettings.apply();
            try {
                Engine.getEngine("PyTorch");
                // eager operators from the first call on: the profiling executor's first runs are slow
                JniUtils.setGraphExecutorOptimize(false);
                shim = ShimLibrary.open();
            } catch (RuntimeException | LinkageError e) {
                throw new QloraException(
                        "DJL's PyTorch library could not be loaded: " + Reason.ofLibrary(e)
                                + "\n  It is unpacked into ~/.djl.ai (or DJL_CACHE_DIR), which needs about 450 MB and write access.",
                        e);
            }
        }

        static void ensure() {}

        private static void defaultProperty(String key, String value) {
            if (System.getenv(key) == null && System.getProperty(key) == null) {
                System.setProperty(key, value);
            }
        }
    }
}
