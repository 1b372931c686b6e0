package io.github.qlora4j.trainer.optim;

import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.Reason;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Pages of a memory-mapped file, of which only so many are mapped at once.
 *
 * <p>A page is mapped when it is asked for; beyond the bound, the one not used for the longest is unmapped first. What
 * was written to it then belongs to the file: the operating system writes it to the disk when it needs the memory.
 *
 * <p>The file is filled with zeros before use rather than left sparse, since a full disk would end the JVM at the first
 * write to a mapped hole. It is deleted when this is closed or the JVM ends; on Unix its name is gone as soon as it is
 * open, so that not even {@code kill -9} leaves it behind.
 */
final class MappedPages implements PagedMemory {

    private final Path directory;
    private final int pageBytes;
    private final int mostPages;
    private final NDManager manager = Torch.newManager();
    private final Map<Integer, Mapping> resident = new LinkedHashMap<>(16, 0.75f, true);
    private FileChannel file;
    private int pages;
    private int mostResident;
    private long pageIns;
    private long evictions;

    /**
     * @param directory where the file stands
     * @param pageBytes bytes of a page, a multiple of 4096
     * @param residentBytes the bound; at least one page is mapped whatever it says
     */
    MappedPages(Path directory, int pageBytes, long residentBytes) {
        if (pageBytes <= 0 || pageBytes % 4096 != 0) {
            throw new IllegalArgumentException("page size must be a multiple of 4096, got " + pageBytes);
        }
        this.directory = directory;
        this.pageBytes = pageBytes;
        this.mostPages = (int) Math.max(1, Math.min(Integer.MAX_VALUE, residentBytes / pageBytes));
    }

    @Override
    public int pageBytes() {
        return pageBytes;
    }

    @Override
    public void reserve(int count) {
        if (file != null) {
            throw new IllegalStateException("pages are reserved once");
        }
        long bytes = (long) count * pageBytes;
        try {
            long usable = Files.getFileStore(directory).getUsableSpace();
            if (usable < bytes) {
                throw noRoom(bytes, usable + " bytes are free", null);
            }
            Path name = Files.createTempFile(directory, "optimizer-", ".pages");
            // here, a kill leaves an empty file, which the directory's next run deletes
            file = FileChannel.open(
                    name, StandardOpenOption.READ, StandardOpenOption.WRITE, StandardOpenOption.DELETE_ON_CLOSE);
            ByteBuffer zeros = ByteBuffer.allocateDirect(1 << 20);
            for (long at = 0; at < bytes; ) {
                zeros.clear().limit((int) Math.min(zeros.capacity(), bytes - at));
                at += file.write(zeros, at);
            }
            pages = count;
        } catch (IOException e) {
            throw noRoom(bytes, Reason.of(e), e);
        }
    }

    private QloraException noRoom(long bytes, String why, IOException cause) {
        return new QloraException(
                "the paged optimizer needs a file of " + bytes + " bytes in " + directory + ", but: " + why
                        + "\n  Free some space, or use an optimizer that is not paged (training.optim: adamw_torch or adamw_8bit).",
                cause);
    }

    @Override
    public Page page(int index) {
        Mapping mapping = resident.get(index);
        if (mapping == null) {
            if (index < 0 || index >= pages) {
                throw new IndexOutOfBoundsException("page " + index + " of " + pages);
            }
            while (resident.size() >= mostPages) {
                evictOldest();
            }
            mapping = map(index);
            resident.put(index, mapping);
            pageIns++;
            mostResident = Math.max(mostResident, resident.size());
        }
        return mapping.page;
    }

    private Mapping map(int index) {
        MappedByteBuffer memory;
        try {
            memory = file.map(FileChannel.MapMode.READ_WRITE, (long) index * pageBytes, pageBytes);
        } catch (IOException e) {
            throw new QloraException(
                    "a page of the optimizer's state in " + directory + " could not be mapped: " + Reason.of(e), e);
        }
        NDManager tensors = manager.newSubManager();
        return new Mapping(
                memory,
                tensors,
                new Page(
                        Torch.wrap(tensors, memory, Dtype.FLOAT32, pageBytes / 4),
                        Torch.wrap(tensors, memory, Dtype.UINT8, pageBytes)));
    }

    private void evictOldest() {
        Iterator<Mapping> oldestFirst = resident.values().iterator();
        Mapping oldest = oldestFirst.next();
        oldestFirst.remove();
        oldest.release();
        evictions++;
    }

    @Override
    public PagingStatistics statistics() {
        return new PagingStatistics(pages, pageBytes, resident.size(), mostResident, pageIns, evictions);
    }

    @Override
    public void close() {
        resident.values().forEach(Mapping::release);
        resident.clear();
        manager.close();
        if (file != null) {
            try {
                file.close();
            } catch (IOException e) {
                throw new QloraException("the optimizer's page file in " + directory + " could not be closed", e);
            }
        }
    }

    private record Mapping(MappedByteBuffer memory, NDManager tensors, Page page) {
        void release() {
            // the tensors first: nothing may point into memory that is no longer mapped
            tensors.close();
            Unmapping.unmap(memory);
        }
    }
}
