package io.github.qlora4j.quant.torch;

import ai.djl.ndarray.NDArray;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.LibUtils;
import com.sun.jna.Function;
import com.sun.jna.NativeLibrary;
import com.sun.jna.Pointer;
import com.sun.jna.ptr.PointerByReference;
import java.nio.file.Path;
import java.util.Optional;

/**
 * The call of libtorch's C shim that nothing in DJL's JNI layer can stand in for, a tensor over foreign memory; and one of
 * the OpenMP library beneath it.
 *
 * <p>Source: {@code torch/csrc/inductor/aoti_torch/c/shim.h} of PyTorch 2.7.1. A DJL handle is an {@code at::Tensor*},
 * and so is the shim's {@code AtenTensorHandle}.
 */
final class ShimLibrary {

    private static final int LAYOUT_STRIDED = 0;
    private static final int DEVICE_CPU = 0;
    /** omp.h: what is paused can be resumed as it was. */
    private static final int OMP_PAUSE_SOFT = 1;

    private final Function createTensorFromBlob;
    private final Optional<Function> pauseThreads;

    private ShimLibrary(NativeLibrary library) {
        createTensorFromBlob = library.getFunction("aoti_torch_create_tensor_from_blob_v2");
        pauseThreads = pauseThreads(library);
    }

    /** A function of the OpenMP library that libtorch was linked to; older ones, and some systems', lack it. */
    private static Optional<Function> pauseThreads(NativeLibrary library) {
        try {
            return Optional.of(library.getFunction("omp_pause_resource_all"));
        } catch (UnsatisfiedLinkError e) {
            return Optional.empty();
        }
    }

    void endWaitingThreads() {
        pauseThreads.ifPresent(pause -> pause.invokeInt(new Object[] {OMP_PAUSE_SOFT}));
    }

    static ShimLibrary open() {
        return new ShimLibrary(library());
    }

    static NativeLibrary library() {
        Path file = Path.of(LibUtils.getLibtorchPath()).resolve(System.mapLibraryName("torch_cpu"));
        return NativeLibrary.getInstance(file.toString());
    }

    NDArray wrap(PtNDManager manager, Pointer data, Dtype dtype, long[] shape) {
        long[] strides = new long[shape.length];
        long stride = 1;
        for (int i = shape.length - 1; i >= 0; i--) {
            strides[i] = stride;
            stride *= Math.max(1, shape[i]);
        }
        PointerByReference handle = new PointerByReference();
        // JNA cannot pass empty arrays: a scalar's shape and strides are never read
        int error = createTensorFromBlob.invokeInt(new Object[] {
            data,
            (long) shape.length,
            shape.length == 0 ? new long[1] : shape,
            shape.length == 0 ? new long[1] : strides,
            0L,
            dtype.code(),
            DEVICE_CPU,
            0,
            handle,
            LAYOUT_STRIDED,
            Pointer.NULL,
            0L
        });
        if (error != 0) {
            throw new IllegalStateException("libtorch refused a tensor over foreign memory, error " + error);
        }
        return new PtNDArray(manager, Pointer.nativeValue(handle.getValue()));
    }
}
