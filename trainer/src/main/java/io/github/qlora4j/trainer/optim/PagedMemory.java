package io.github.qlora4j.trainer.optim;

import ai.djl.ndarray.NDArray;

/**
 * Memory in pages of one size that an optimizer's state lives in, of which not all need be at hand at once.
 *
 * <p>On a CPU it is {@link MappedPages}, a memory-mapped file, or {@link ResidentPages}, plain memory. On a GPU it is
 * CUDA managed memory as bitsandbytes uses it: pages from {@code cget_managed_ptr}, and {@link #page} a {@code
 * cprefetch} to the device.
 *
 * <p>Not for use by several threads. Its opener closes it.
 */
interface PagedMemory extends AutoCloseable {

    /** The bytes of a page. */
    int pageBytes();

    /**
     * Makes this many pages, filled with zeros; to be called once.
     *
     * @throws io.github.qlora4j.quant.QloraException if there is no room for them
     */
    void reserve(int pages);

    /** Brings a page in. It can be used until the next call or until this memory is closed. */
    Page page(int index);

    /** What was brought in and put out so far. */
    PagingStatistics statistics();

    @Override
    void close();

    /** A page's memory, seen as float32 and as uint8. */
    record Page(NDArray floats, NDArray bytes) {}
}
