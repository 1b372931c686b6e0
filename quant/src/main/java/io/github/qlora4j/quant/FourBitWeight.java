package io.github.qlora4j.quant;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.quant.torch.TorchScript;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * A matrix in four bits an element, dequantized before each use.
 *
 * <pre>{@code
 * FourBitWeight weight = FourBitWeight.quantize(matrix, FourBitConfig.DEFAULT, Kernels.choose(KernelChoice.AUTO));
 * NDArray dense = weight.dense(Dtype.BFLOAT16, scratch);
 * }</pre>
 *
 * <p>Blocks run over the flat matrix, across the ends of rows. Under double quantization absmax stays in eight bits and
 * is expanded at each use, 1/64 of the work of the matrix. The weight owns its memory; whoever holds it closes it.
 */
public final class FourBitWeight implements LinearWeight {

    /** Elements that are handled in one call: 1 GiB of float32, and whole blocks of every size. */
    private static final long WINDOW = 1L << 28;

    private final NDManager owner;
    private final Kernel kernel;
    private final FourBitConfig config;
    private final Dtype source;
    private final long rows;
    private final long cols;
    private final State state;
    /** {@link #kernel} once it has looked at absmax; every thread finds the same one. */
    private Kernel familiar;

    /**
     * The tensors of a weight, owned by it.
     *
     * @param packed uint8 [ceil(elements / 2), 1]
     * @param absmax float32 [blocks], or uint8 [blocks] under double quantization
     * @param nestedAbsmax float32 [ceil(blocks / 256)], null without double quantization
     * @param offset the mean of absmax under double quantization, else 0
     * @param map what the bytes of a nested absmax stand for
     */
    record State(NDArray packed, NDArray absmax, NDArray nestedAbsmax, float offset, DynamicMap map) {}

    FourBitWeight(
            NDManager owner, Kernel kernel, FourBitConfig config, Dtype source, long rows, long cols, State state) {
        this.owner = owner;
        this.kernel = kernel;
        this.config = config;
        this.source = source;
        this.rows = rows;
        this.cols = cols;
        this.state = state;
    }

    /**
     * Quantizes a matrix [out, in] of float32, float16 or bfloat16, as {@code quantize_4bit} of bitsandbytes does.
     *
     * <p>Under double quantization the offset is torch's mean, whose last bit depends on {@link Torch#threads()} for
     * large matrices.
     *
     * @throws QloraException if an element is NaN or infinite, or the dtype is another
     */
    public static FourBitWeight quantize(NDArray matrix, FourBitConfig config, Kernel kernel) {
        long[] shape = Torch.shape(matrix);
        if (shape.length != 2 || shape[0] == 0 || shape[1] == 0) {
            throw new IllegalArgumentException("a matrix was expected, got shape " + Arrays.toString(shape));
        }
        Dtype dtype = Torch.dtype(matrix);
        if (dtype != Dtype.FLOAT32 && dtype != Dtype.FLOAT16 && dtype != Dtype.BFLOAT16) {
            throw new QloraException("dtype " + dtype.torchName()
                    + " cannot be quantized to four bits; expected float32, float16 or bfloat16");
        }
        NDManager owner = Torch.newManager();
        try (NDManager temporary = Torch.newManager()) {
            NDArray flat = Operators.SCRIPT.tensor(temporary, "contiguous", matrix);
            long elements = shape[0] * shape[1];
            long blocks = FourBitConfig.blocks(elements, config.blocksize());
            NDArray packed = Torch.empty(owner, Dtype.UINT8, (elements + 1) / 2, 1);
            NDArray absmax = Torch.empty(config.doubleQuant() ? temporary : owner, Dtype.FLOAT32, blocks);
            Torch.endWaitingThreads(); // the kernel works on Java's threads
            for (long at = 0; at < elements; at += WINDOW) {
                long count = Math.min(WINDOW, elements - at);
                kernel.quantizeFourBit(
                        config.type(),
                        config.blocksize(),
                        dtype,
                        Torch.bytes(flat, at * dtype.bytes(), count * dtype.bytes()),
                        Torch.bytes(packed, at / 2, (count + 1) / 2),
                        scales(absmax, at, count, config));
            }
            State state = config.doubleQuant()
                    ? nested(owner, temporary, kernel, packed, absmax)
                    : new State(packed, absmax, null, 0, null);
            NDManager kept = owner;
            owner = null;
            return new FourBitWeight(kept, kernel, config, dtype, shape[0], shape[1], state);
        } finally {
            if (owner != null) {
                owner.close();
            }
        }
    }

    // QLoRA, section 3, "Double Quantization"; quantize_4bit with compress_statistics in bitsandbytes' functional.py.
    private static State nested(NDManager owner, NDManager temporary, Kernel kernel, NDArray packed, NDArray absmax) {
        long blocks = absmax.getShape().size();
        NDArray mean = Operators.SCRIPT.tensor(temporary, "mean", absmax);
        NDArray centred = Operators.SCRIPT.tensor(temporary, "minus", absmax, mean);
        NDArray codes = Torch.empty(owner, Dtype.UINT8, blocks);
        NDArray scales =
                Torch.empty(owner, Dtype.FLOAT32, FourBitConfig.blocks(blocks, FourBitConfig.NESTED_BLOCKSIZE));
        kernel.quantizeEightBit(
                DynamicMap.SIGNED,
                FourBitConfig.NESTED_BLOCKSIZE,
                Dtype.FLOAT32,
                Torch.bytes(centred, 0, blocks * Float.BYTES),
                Torch.bytes(codes, 0, blocks),
                Torch.bytes(scales, 0, Torch.byteSize(scales)));
        float offset = mean.getFloat();
        Torch.endWaitingThreads(); // the mean's would wait beside the next matrix
        return new State(packed, codes, scales, offset, DynamicMap.SIGNED);
    }

    private static ByteBuffer scales(NDArray absmax, long at, long count, FourBitConfig config) {
        return Torch.bytes(
                absmax,
                at / config.blocksize() * Float.BYTES,
                FourBitConfig.blocks(count, config.blocksize()) * Float.BYTES);
    }

    /** How it was quantized. */
    public FourBitConfig config() {
        return config;
    }

    /** The dtype that it was quantized from. */
    public Dtype source() {
        return source;
    }

    /** Its tensors, which stay its own. */
    State state() {
        return state;
    }

    @Override
    public long rows() {
        return rows;
    }

    @Override
    public long cols() {
        return cols;
    }

    @Override
    public long bytes() {
        return config.bytes(rows * cols);
    }

    @Override
    public String scheme() {
        return config.type().key();
    }

    /** {@inheritDoc} Values are code × absmax in float32, rounded once. */
    @Override
    public NDArray dense(Dtype compute, Scratch scratch) {
        NDArray target = scratch.buffer(compute, rows, cols);
        NDArray absmax = config.doubleQuant() ? expand(scratch) : state.absmax();
        Kernel knowing = familiar(absmax);
        long elements = rows * cols;
        for (long at = 0; at < elements; at += WINDOW) {
            long count = Math.min(WINDOW, elements - at);
            knowing.dequantizeFourBit(
                    config.type(),
                    config.blocksize(),
                    Torch.bytes(state.packed(), at / 2, (count + 1) / 2),
                    scales(absmax, at, count, config),
                    compute,
                    Torch.bytes(target, at * compute.bytes(), count * compute.bytes()));
        }
        return target;
    }

    private Kernel familiar(NDArray absmax) {
        if (familiar == null) {
            familiar = kernel instanceof BitsAndBytesKernel && rows * cols <= WINDOW
                    ? BitsAndBytesKernel.forAbsmax(scales(absmax, 0, rows * cols, config))
                    : kernel;
        }
        return familiar;
    }

    @Override
    public Optional<ReadyProduct> product(List<? extends LinearWeight> beside, Dtype compute) {
        List<FourBitWeight> weights = new ArrayList<>(List.of(this));
        for (LinearWeight other : beside) {
            if (!(other instanceof FourBitWeight weight) || !weight.config.equals(config) || weight.cols != cols) {
                return Optional.empty();
            }
            weights.add(weight);
        }
        for (FourBitWeight weight : weights) {
            if (!(weight.kernel instanceof BitsAndBytesKernel)
                    || !FourBitProduct.fits(config, weight.rows, cols, compute)) {
                return Optional.empty();
            }
        }
        long outputs = weights.stream().mapToLong(w -> w.rows).sum();
        FourBitProduct product = new FourBitProduct(config, outputs, cols);
        long first = 0;
        for (FourBitWeight weight : weights) {
            weight.layOut(product, first);
            first += weight.rows;
        }
        return Optional.of(product);
    }

    private void layOut(FourBitProduct product, long first) {
        try (Scratch scratch = new Scratch()) {
            NDArray absmax = config.doubleQuant() ? expand(scratch) : state.absmax();
            ByteBuffer scales = scales(absmax, 0, rows * cols, config);
            product.layOut(first, rows, Torch.bytes(state.packed(), 0, rows * cols / 2), Blocks.floats(scales));
        }
    }

    /** absmax in float32, in scratch that the next call overwrites. */
    private NDArray expand(Scratch scratch) {
        long blocks = FourBitConfig.blocks(rows * cols, config.blocksize());
        NDArray absmax = scratch.scales(blocks);
        ByteBuffer memory = Torch.bytes(absmax, 0, blocks * Float.BYTES);
        kernel.dequantizeEightBit(
                state.map(),
                FourBitConfig.NESTED_BLOCKSIZE,
                Torch.bytes(state.absmax(), 0, blocks),
                Torch.bytes(state.nestedAbsmax(), 0, Torch.byteSize(state.nestedAbsmax())),
                Dtype.FLOAT32,
                memory);
        // a float32 as float64 and back is the same number: this is absmax + offset in float32
        Operators.SCRIPT.run("add_to_first", absmax, blocks, state.offset());
        return absmax;
    }

    @Override
    public void close() {
        owner.close();
    }

    private static final class Operators {
        static final TorchScript SCRIPT = TorchScript.load(FourBitWeight.class, "weights.py");
    }
}
