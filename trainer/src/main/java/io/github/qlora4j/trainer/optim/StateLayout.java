package io.github.qlora4j.trainer.optim;

import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.util.ArrayList;
import java.util.List;

/**
 * Where in the pages each parameter's state lies.
 *
 * <p>A parameter is cut into pieces of whole 256-element blocks, filling page after page. All state of a piece lies
 * together, so that its update needs one page:
 *
 * <pre>
 * 32 bits:  exp_avg[n] exp_avg_sq[n] master[n]                                      float32
 *  8 bits:  absmax1[blocks] absmax2[blocks] master[n]  float32, then  state1[n] state2[n]  bytes
 * </pre>
 *
 * <p>master is there for parameters that are not float32. A page holds pieces of one of the two forms only. Updates
 * work element by element, or block by block, so that the cuts leave no trace in the results.
 */
final class StateLayout {

    private static final int BLOCK = OptimizerConfig.BLOCKSIZE;
    private static final int ALIGNMENT = 64;

    /**
     * A part of one parameter's state.
     *
     * @param parameter its index
     * @param start its first element
     * @param length its elements
     * @param offset the byte in the page where its state begins
     */
    record Piece(int parameter, long start, int length, int offset, boolean eightBit, boolean master) {

        int blocks() {
            return (length + BLOCK - 1) / BLOCK;
        }

        /** Where its floats begin, in floats. */
        int floats() {
            return offset / 4;
        }

        /** Where the bytes of 8-bit state begin. */
        int bytes() {
            return offset + 4 * (2 * blocks() + (master ? length : 0));
        }

        /** Where its master copy begins, in floats. */
        int masterFloats() {
            return floats() + 2 * (eightBit ? blocks() : length);
        }
    }

    /** The pieces of one page, all of one form. */
    record PagePlan(boolean eightBit, List<Piece> pieces) {}

    private final int pageBytes;
    private final List<PagePlan> pages = new ArrayList<>();

    StateLayout(OptimizerConfig config, List<Parameter> parameters, int pageBytes) {
        this.pageBytes = pageBytes;
        fill(config, parameters, false);
        fill(config, parameters, true);
    }

    List<PagePlan> pages() {
        return pages;
    }

    private void fill(OptimizerConfig config, List<Parameter> parameters, boolean eightBit) {
        List<Piece> page = new ArrayList<>();
        int used = 0;
        for (int i = 0; i < parameters.size(); i++) {
            Parameter parameter = parameters.get(i);
            long elements = parameter.value().getShape().size();
            if (config.eightBit(elements) != eightBit) {
                continue;
            }
            boolean master = Torch.dtype(parameter.value()) != Dtype.FLOAT32;
            int blockBytes = (eightBit ? 2 * BLOCK + 8 : 8 * BLOCK) + (master ? 4 * BLOCK : 0);
            for (long start = 0; start < elements; ) {
                int blocks = (pageBytes - used) / blockBytes;
                if (blocks == 0) {
                    pages.add(new PagePlan(eightBit, page));
                    page = new ArrayList<>();
                    used = 0;
                    continue;
                }
                int length = (int) Math.min(elements - start, (long) blocks * BLOCK);
                page.add(new Piece(i, start, length, used, eightBit, master));
                int size = (length + BLOCK - 1) / BLOCK * blockBytes;
                used = Math.min(pageBytes, (used + size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
                start += length;
            }
        }
        if (!page.isEmpty()) {
            pages.add(new PagePlan(eightBit, page));
        }
    }
}
