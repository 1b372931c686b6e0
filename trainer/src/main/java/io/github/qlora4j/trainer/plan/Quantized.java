package io.github.qlora4j.trainer.plan;

import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.QuantType;
import io.github.qlora4j.quant.StoredScheme;
import io.github.qlora4j.quant.WeightBytes;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.trainer.model.Family.Linear;
import java.util.Set;

/** How the linear layers of a quantized base are kept. */
public sealed interface Quantized {
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

    /** A 4-bit base. */
    record FourBit(int blocksize, boolean doubleQuant) implements Quantized {
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
    record EightBit() implements Quantized {
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
    record Stored(StoredScheme scheme) implements Quantized {
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
    record InDirectory(Quantized scheme, Set<String> leftOut, boolean stored) implements Quantized {
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
}
