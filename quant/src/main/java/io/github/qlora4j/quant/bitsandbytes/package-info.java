/**
 * The native library of bitsandbytes, called through JNA.
 *
 * <p>{@link io.github.qlora4j.quant.bitsandbytes.LibrarySearch} looks for the CPU library and says what it tried;
 * {@link io.github.qlora4j.quant.bitsandbytes.CpuLibrary} and {@link
 * io.github.qlora4j.quant.bitsandbytes.CudaLibrary} are its functions with their argument orders, which are those of
 * {@code csrc/pythonInterface.cpp} and {@code backends/cuda/ops.py} of bitsandbytes 0.50.2. Arguments are raw
 * addresses: a wrong one ends the JVM. {@link io.github.qlora4j.quant.Kernel} is the safe way in.
 */
package io.github.qlora4j.quant.bitsandbytes;
