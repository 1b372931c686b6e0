package io.github.qlora4j.trainer.model;

import ai.djl.ndarray.NDArray;
import io.github.qlora4j.quant.DenseWeight;
import io.github.qlora4j.quant.LinearWeight;
import io.github.qlora4j.quant.ReadyProduct;
import io.github.qlora4j.quant.Scratch;
import io.github.qlora4j.quant.torch.Dtype;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * The weight of a linear layer of a block that lies on the disk: it holds nothing, and each use takes the block.
 *
 * <p>What it gives is valid until another part of the model is taken.
 */
final class DiskWeight implements LinearWeight {

    private final DiskParts parts;
    private final String part;
    private final String name;
    private final long rows;
    private final long cols;
    private final String scheme;
    private final Optional<Dtype> dense;
    private final boolean ownProduct;

    /**
     * Of a weight.
     *
     * @param read the weight as it was read, which is looked at and not kept
     */
    DiskWeight(DiskParts parts, String part, String name, LinearWeight read) {
        this.parts = parts;
        this.part = part;
        this.name = name;
        this.rows = read.rows();
        this.cols = read.cols();
        this.scheme = read.scheme();
        this.dense = read instanceof DenseWeight weight ? Optional.of(weight.dtype()) : Optional.empty();
        this.ownProduct = read.hasOwnProduct();
    }

    private LinearWeight weight() {
        return parts.take(part).get(name);
    }

    /** The dtype in which it is kept dense; empty where it is quantized. */
    Optional<Dtype> denseDtype() {
        return dense;
    }

    @Override
    public long rows() {
        return rows;
    }

    @Override
    public long cols() {
        return cols;
    }

    /** {@inheritDoc} None. */
    @Override
    public long bytes() {
        return 0;
    }

    @Override
    public String scheme() {
        return scheme;
    }

    @Override
    public NDArray dense(Dtype compute, Scratch scratch) {
        return weight().dense(compute, scratch);
    }

    /** {@inheritDoc} It is laid out anew for each product, so that the bits are those of weights in memory. */
    @Override
    public Optional<ReadyProduct> product(List<? extends LinearWeight> beside, Dtype compute) {
        List<DiskWeight> all = new ArrayList<>(List.of(this));
        for (LinearWeight other : beside) {
            if (!(other instanceof DiskWeight weight)) {
                return Optional.empty();
            }
            all.add(weight);
        }
        return Optional.of(new Product(all, compute));
    }

    @Override
    public Map<String, NDArray> operands(Dtype compute, Scratch scratch) {
        return weight().operands(compute, scratch);
    }

    @Override
    public boolean hasOwnProduct() {
        return ownProduct;
    }

    @Override
    public void close() {
        // the parts are closed by the model
    }

    /** Read and laid out at each use. */
    private static final class Product implements ReadyProduct {
        private final List<DiskWeight> all;
        private final Dtype compute;
        private final Dtype dtype;
        private final int mostRows;

        Product(List<DiskWeight> all, Dtype compute) {
            this.all = List.copyOf(all);
            this.compute = compute;
            try (ReadyProduct once = laidOut()) {
                this.dtype = once.dtype();
                this.mostRows = once.mostRows();
            }
        }

        private ReadyProduct laidOut() {
            List<LinearWeight> read = all.stream().map(DiskWeight::weight).toList();
            return read.get(0)
                    .product(read.subList(1, read.size()), compute)
                    .orElseGet(() -> ReadyProduct.dense(read, compute));
        }

        @Override
        public Runnable between(NDArray x, NDArray y) {
            return () -> {
                try (ReadyProduct product = laidOut()) {
                    product.between(x, y).run();
                }
            };
        }

        @Override
        public Dtype dtype() {
            return dtype;
        }

        @Override
        public int mostRows() {
            return mostRows;
        }

        @Override
        public long bytes() {
            return 0;
        }

        @Override
        public void close() {
            // holds nothing
        }
    }
}
