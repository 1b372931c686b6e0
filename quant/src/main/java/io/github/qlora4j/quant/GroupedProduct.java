package io.github.qlora4j.quant;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.quant.torch.TorchScript;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * The engine's {@code _weight_int4pack_mm_for_cpu} on 4-bit codes in groups, what GPTQ and AWQ weights are: a weight is
 * read as four bits where a dense one takes sixteen.
 *
 * <p>The kernel computes (code − 8) · scale + (8 − zero) · scale; both factors are rounded to bfloat16 first, where a
 * dense weight is rounded as a whole.
 */
final class GroupedProduct implements ReadyProduct {

    /** The kernel's block of outputs; whole ones can stand one behind another. */
    private static final int OUTPUTS = 64;

    /** The groups that the kernel knows; the largest that divides a weight's own is taken. */
    private static final int[] GROUPS = {256, 128, 64, 32};

    private final NDManager owner = Torch.newManager();
    private final ProductShape shape;
    private final int group;
    private final NDArray codes;
    private final NDArray factors;
    private final List<NDArray> order;

    private GroupedProduct(List<GroupedCodes> weights, int group) {
        GroupedCodes first = weights.get(0);
        this.shape = new ProductShape(
                Dtype.BFLOAT16, weights.stream().mapToLong(GroupedCodes::rows).sum(), first.cols());
        this.group = group;
        int[] columns = GroupedCodes.order(first.groupOf());
        this.order = columns == null ? List.of() : List.of(Torch.ofInts(owner, columns, columns.length));
        try (NDManager work = Torch.newManager()) {
            long repeat = first.cols() / first.groups() / group;
            List<NDArray> packed = new ArrayList<>();
            List<NDArray> scaled = new ArrayList<>();
            for (GroupedCodes weight : weights) {
                try (NDManager one = Torch.newManager()) {
                    packed.add(Operators.SCRIPT.tensor(work, "int4_packed", weight.inOrder(one)));
                }
                scaled.add(Operators.SCRIPT.tensor(work, "int4_factors", weight.scales(), weight.zeros(), repeat));
            }
            this.codes = Operators.SCRIPT.tensor(owner, "beside", packed, 0L);
            this.factors = Operators.SCRIPT.tensor(owner, "beside", scaled, 1L);
        }
    }

    /** The product with weights side by side; empty where the kernel does not take them on this machine. */
    static Optional<ReadyProduct> of(List<GroupedCodes> weights, Dtype compute) {
        GroupedCodes first = weights.get(0);
        int size = first.cols() / first.groups();
        Optional<Integer> group =
                Arrays.stream(GROUPS).boxed().filter(g -> size % g == 0).findFirst();
        boolean alike = weights.stream()
                .allMatch(weight -> weight.bits() == 4
                        && weight.rows() % OUTPUTS == 0
                        && Arrays.equals(weight.groupOf(), first.groupOf()));
        return compute == Dtype.BFLOAT16
                        && group.isPresent()
                        && alike
                        && first.groupsAreOfOneSize()
                        && ReadyProduct.packsBfloat16()
                ? Optional.of(new GroupedProduct(weights, group.get()))
                : Optional.empty();
    }

    @Override
    public Runnable between(NDArray x, NDArray y) {
        shape.require(x, y);
        return () -> Operators.SCRIPT.run("int4_product", y, x, codes, group, factors, order);
    }

    @Override
    public Dtype dtype() {
        return shape.dtype();
    }

    /** {@inheritDoc} The kernel's time grows with the rows; with more, working the weights out is soon made good. */
    @Override
    public int mostRows() {
        return 128;
    }

    @Override
    public long bytes() {
        return Torch.byteSize(codes)
                + Torch.byteSize(factors)
                + order.stream().mapToLong(Torch::byteSize).sum();
    }

    @Override
    public void close() {
        owner.close();
    }

    private static final class Operators {
        static final TorchScript SCRIPT = TorchScript.load(GroupedProduct.class, "products.py");
    }
}
