/**
 * Safetensors files and Hugging Face model directories, read and written a tensor at a time.
 *
 * <p>A safetensors file is eight bytes of header length, a JSON header (name, dtype, shape and byte range of each
 * tensor), and the tensors' bytes, little-endian, one behind the other. {@link
 * io.github.qlora4j.quant.safetensors.SafetensorsFile} checks the whole header before it believes any of it; {@link
 * io.github.qlora4j.quant.safetensors.SafetensorsWriter} writes beside the file and moves it into place; {@link
 * io.github.qlora4j.quant.safetensors.ModelDirectory} and {@link
 * io.github.qlora4j.quant.safetensors.ShardedSafetensorsWriter} do the same for a model in one or several files.
 *
 * <p>Bytes are copied from the file into the tensor's own memory. A mapped file is not handed to native code: when it is
 * cut while it is in use, the operating system kills the process on the next touch, and no Java code can catch that.
 */
package io.github.qlora4j.quant.safetensors;
