package ai.djl.pytorch.jni;

import java.util.Arrays;

/**
 * Calls a TorchScript method with gradients recorded.
 *
 * <p>It stands in DJL's package because {@code PyTorchLibrary.moduleRunMethod} is package-private there, and DJL's
 * public {@code IValueUtils.runMethod} always runs in inference mode, where {@code torch.autograd.grad} cannot work.
 */
public final class ModuleMethods {

    private ModuleMethods() {}

    /**
     * Runs a method of a loaded module.
     *
     * <p>Whether gradients are recorded is the thread's grad mode: the script says so itself where it needs them.
     *
     * @param module the handle of the module
     * @return the result, which the caller closes
     */
    public static IValue run(long module, String method, IValue... arguments) {
        long[] handles = Arrays.stream(arguments).mapToLong(IValue::getHandle).toArray();
        return new IValue(PyTorchLibrary.LIB.moduleRunMethod(module, method, handles, true, false));
    }
}
