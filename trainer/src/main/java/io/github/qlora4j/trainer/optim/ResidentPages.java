package io.github.qlora4j.trainer.optim;

import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;

/** Pages of ordinary native memory that are always at hand: the state of an optimizer that is not paged. */
final class ResidentPages implements PagedMemory {

    private final int pageBytes;
    private final NDManager manager = Torch.newManager();
    private final List<Page> pages = new ArrayList<>();

    ResidentPages(int pageBytes) {
        this.pageBytes = pageBytes;
    }

    @Override
    public int pageBytes() {
        return pageBytes;
    }

    @Override
    public void reserve(int count) {
        for (int i = 0; i < count; i++) {
            var floats = Torch.zeros(manager, Dtype.FLOAT32, pageBytes / 4);
            ByteBuffer memory = Torch.bytes(floats, 0, pageBytes).order(ByteOrder.LITTLE_ENDIAN);
            pages.add(new Page(floats, Torch.wrap(manager, memory, Dtype.UINT8, pageBytes)));
        }
    }

    @Override
    public Page page(int index) {
        return pages.get(index);
    }

    @Override
    public PagingStatistics statistics() {
        return new PagingStatistics(pages.size(), pageBytes, pages.size(), pages.size(), 0, 0);
    }

    @Override
    public void close() {
        manager.close();
    }
}
