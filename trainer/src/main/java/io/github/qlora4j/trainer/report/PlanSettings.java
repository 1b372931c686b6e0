package io.github.qlora4j.trainer.report;

import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.QuantType;
import io.github.qlora4j.quant.StoredScheme;
import io.github.qlora4j.quant.WeightBytes;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.trainer.config.OptimizerName;
import io.github.qlora4j.trainer.model.Family.Linear;
import io.github.qlora4j.trainer.model.Placement;
import java.util.Set;

/**
 * What of a run decides its memory.
 *
 * @param dtype the dtype that the base is cast to
 * @param quantized how the base is quantized; null where it is not
 * @param compute the dtype of the matrix products
 * @param upcast whether what is not quantized is kept in float32
 * @param adapter what is trained
 * @param adapterDtype the adapter's dtype; bfloat16 has a float32 master copy
 * @param optimizer the optimizer
 * @param pagedResident bytes of a paged optimizer's state that may be in memory at once
 * @param tokens tokens of one micro-batch at most
 * @param recomputedLayers layers that are computed again in the backward pass
 * @param placement where the base lies; null is all in memory
 */
public record PlanSettings(
        Dtype dtype,
        Quantized quantized,
        Dtype compute,
        boolean upcast,
        Trained adapter,
        Dtype adapterDtype,
        OptimizerName optimizer,
        long pagedResident,
        long tokens,
        int recomputedLayers,
        Placement placement) {

    /** A base that is in memory. */
    public PlanSettings(
            Dtype dtype,
            Quantized quantized,
            Dtype compute,
            boolean upcast,
            Trained adapter,
            Dtype adapterDtype,
            OptimizerName optimizer,
            long pagedResident,
            long tokens,
            int recomputedLayers) {
        this(
                dtype,
                quantized,
                compute,
                upcast,
                adapter,
                adapterDtype,
                optimizer,
                pagedResident,
                tokens,
                recomputedLayers,
                null);
    }

    /** How linear layers are kept. */
    public interface Quantized {
        /** What a layer's matrix takes. */
        WeightBytes bytes(Linear linear);

        /** What a layer counts where a model is divided among devices: its codes alone, as in transformers. */
        default long divided(Linear linear) {
            return bytes(linear).codes();
        }

        /** The codes in words, {@code 4-bit codes} for instance. */
        String codes();

        /** Whether a layer, {@code model.layers.0.mlp.up_proj} for instance, is kept as it is. */
        default boolean leavesOut(String module) {
            return false;
        }

        /** What is done to a layer's matrix on loading, a participle. */
        default String madeReady() {
            return "quantized";
        }

        /** Bytes beside the weights while that is done. */
        default long work(Linear linear, Dtype stored) {
            return ModelShape.weights(linear) * (stored.bytes() + Float.BYTES);
        }
    }

    /** A 4-bit base. */
    public record FourBit(int blocksize, boolean doubleQuant) implements Quantized {
        @Override
        public WeightBytes bytes(Linear linear) {
            long elements = ModelShape.weights(linear);
            long codes = (elements + 1) / 2;
            long all = new FourBitConfig(QuantType.NF4, blocksize, doubleQuant).bytes(elements);
            return new WeightBytes(codes, all - codes, codes);
        }

        @Override
        public String codes() {
            return "4-bit codes";
        }
    }

    /** A base in int8, one scale a row. */
    public record EightBit() implements Quantized {
        @Override
        public WeightBytes bytes(Linear linear) {
            long elements = ModelShape.weights(linear);
            return new WeightBytes(elements, linear.out() * Float.BYTES, elements);
        }

        @Override
        public String codes() {
            return "8-bit codes";
        }
    }

    /**
     * A base whose scheme says what its weights take.
     *
     * @param scheme one whose {@link StoredScheme#bytes} is there
     */
    public record Stored(StoredScheme scheme) implements Quantized {
        @Override
        public WeightBytes bytes(Linear linear) {
            return scheme.bytes(linear.out(), linear.in()).orElseThrow();
        }

        @Override
        public String codes() {
            return scheme.name() + " codes";
        }

        @Override
        public String madeReady() {
            return "unpacked";
        }

        /** {@inheritDoc} All that is stored. */
        @Override
        public long divided(Linear linear) {
            return bytes(linear).codes() + bytes(linear).scales();
        }

        /** {@inheritDoc} Codes a byte each, once as they are stored and once turned round. */
        @Override
        public long work(Linear linear, Dtype stored) {
            return 2 * ModelShape.weights(linear);
        }
    }

    /**
     * The linear layers of one directory.
     *
     * @param leftOut full names of those that are kept as they are
     * @param stored whether the files hold the codes, so that nothing is quantized on loading
     */
    public record InDirectory(Quantized scheme, Set<String> leftOut, boolean stored) implements Quantized {
        /** Takes a copy of the set. */
        public InDirectory {
            leftOut = Set.copyOf(leftOut);
        }

        @Override
        public WeightBytes bytes(Linear linear) {
            return scheme.bytes(linear);
        }

        @Override
        public long divided(Linear linear) {
            return scheme.divided(linear);
        }

        @Override
        public String codes() {
            return scheme.codes();
        }

        @Override
        public boolean leavesOut(String module) {
            return leftOut.contains(module);
        }

        @Override
        public String madeReady() {
            return scheme.madeReady();
        }

        @Override
        public long work(Linear linear, Dtype from) {
            return stored && !(scheme instanceof Stored) ? 0 : scheme.work(linear, from);
        }
    }

    /**
     * Parameters that are trained.
     *
     * @param lora elements of the A and B matrices
     * @param biases elements of the base's own biases that are trained
     * @param saved elements of the copies of {@code modules_to_save}, which count beside the frozen originals as in peft
     */
    public record Trained(long lora, long biases, long saved) {
        /** All of them. */
        public long total() {
            return lora + biases + saved;
        }
    }

    /** The same with another number of layers computed again. */
    public PlanSettings recomputing(int recomputed) {
        return new PlanSettings(
                dtype,
                quantized,
                compute,
                upcast,
                adapter,
                adapterDtype,
                optimizer,
                pagedResident,
                tokens,
                recomputed,
                placement);
    }
}
