package io.github.qlora4j.quant.torch;

import ai.djl.pytorch.engine.PtNDArray;
import com.sun.jna.Native;

/** Address and dtype of a tensor by libtorch's C shim; mapped directly, for they are asked for at every token. */
final class TensorShim {

    static {
        Native.register(TensorShim.class, ShimLibrary.library());
    }

    private TensorShim() {}

    static long address(PtNDArray tensor) {
        long[] address = new long[1];
        int error = aoti_torch_get_data_ptr(tensor.getHandle(), address);
        if (error != 0) {
            throw new IllegalStateException("libtorch gave no address of a tensor, error " + error);
        }
        return address[0];
    }

    /** The code of the element type, as {@link Dtype#code}. */
    static int dtype(PtNDArray tensor) {
        int[] code = new int[1];
        int error = aoti_torch_get_dtype(tensor.getHandle(), code);
        if (error != 0) {
            throw new IllegalStateException("libtorch gave no dtype of a tensor, error " + error);
        }
        return code[0];
    }

    private static native int aoti_torch_get_dtype(long tensor, int[] code);

    private static native int aoti_torch_get_data_ptr(long tensor, long[] address);
}
