package io.github.qlora4j.trainer.model;

import com.google.gson.JsonObject;
import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.FourBitScheme;
import io.github.qlora4j.quant.Int8Scheme;
import io.github.qlora4j.quant.KernelChoice;
import io.github.qlora4j.quant.Kernels;
import io.github.qlora4j.quant.MatrixQuantizer;
import io.github.qlora4j.quant.torch.Dtype;
import java.util.Optional;

/**
 * How a base is read.
 *
 * @param dtype what the stored weights are cast to; empty takes {@code config.json}'s
 * @param fourBit how linear layers are quantized to 4 bits
 * @param eightBit how linear layers are quantized by LLM.int8(); empty like {@code fourBit} leaves them as they are
 * @param compute the dtype of the products of quantized layers; those of 8-bit ones are always in the dtype of the
 *     activations, whatever is given
 * @param upcast what is not quantized is kept in float32, as peft's {@code prepare_model_for_kbit_training} does
 * @param skipModules linear layers that stay unquantized
 * @param kernel which kernel works 4-bit weights out
 * @param placement where the weights lie
 * @param stored what is said of a base that is stored by GPTQ or AWQ, in the keys of its {@code quantization_config}
 */
public record BaseOptions(
        Optional<Dtype> dtype,
        Optional<FourBitConfig> fourBit,
        Optional<Int8Scheme> eightBit,
        Dtype compute,
        boolean upcast,
        SkipModules skipModules,
        KernelChoice kernel,
        PlacementOptions placement,
        JsonObject stored) {

    /** Checks that one scheme is asked for at most; takes a copy of {@code stored}. */
    public BaseOptions {
        stored = stored.deepCopy();
        if (fourBit.isPresent() && eightBit.isPresent()) {
            throw new IllegalArgumentException("a base is quantized to 4 bits or to 8, not to both");
        }
    }

    /** All in memory, with nothing said of how the base is stored. */
    public BaseOptions(
            Optional<Dtype> dtype,
            Optional<FourBitConfig> fourBit,
            Optional<Int8Scheme> eightBit,
            Dtype compute,
            boolean upcast,
            SkipModules skipModules,
            KernelChoice kernel) {
        this(
                dtype,
                fourBit,
                eightBit,
                compute,
                upcast,
                skipModules,
                kernel,
                PlacementOptions.inMemory(),
                new JsonObject());
    }

    /** The base as it is stored. */
    public static BaseOptions unquantized() {
        return plain(Optional.empty(), Dtype.FLOAT32);
    }

    /** The base cast to a dtype. */
    public static BaseOptions unquantized(Dtype dtype) {
        return plain(Optional.of(dtype), dtype);
    }

    private static BaseOptions plain(Optional<Dtype> dtype, Dtype compute) {
        return new BaseOptions(
                dtype, Optional.empty(), Optional.empty(), compute, false, SkipModules.DEFAULT, KernelChoice.AUTO);
    }

    /** The base in 4 bits, multiplied in {@code compute}. */
    public static BaseOptions fourBit(FourBitConfig config, Dtype compute) {
        return new BaseOptions(
                Optional.empty(),
                Optional.of(config),
                Optional.empty(),
                compute,
                false,
                SkipModules.DEFAULT,
                KernelChoice.AUTO);
    }

    /** The base in 8 bits by LLM.int8(). */
    public static BaseOptions eightBit(Int8Scheme scheme) {
        return unquantized().withEightBit(scheme);
    }

    /** The same in 8 bits by LLM.int8(), not in 4. */
    public BaseOptions withEightBit(Int8Scheme scheme) {
        return new BaseOptions(
                dtype, Optional.empty(), Optional.of(scheme), compute, upcast, skipModules, kernel, placement, stored);
    }

    /** The same with products of quantized layers in another dtype. */
    BaseOptions withCompute(Dtype other) {
        return new BaseOptions(dtype, fourBit, eightBit, other, upcast, skipModules, kernel, placement, stored);
    }

    /** The same, cast to another dtype before it is quantized. */
    public BaseOptions withDtype(Dtype other) {
        return new BaseOptions(
                Optional.of(other), fourBit, eightBit, compute, upcast, skipModules, kernel, placement, stored);
    }

    /** The same with {@link #upcast} on or off. */
    public BaseOptions withUpcast(boolean on) {
        return new BaseOptions(dtype, fourBit, eightBit, compute, on, skipModules, kernel, placement, stored);
    }

    /** The same with other keys of GPTQ and AWQ, which the directory's own are held against. */
    BaseOptions withStored(JsonObject keys) {
        return new BaseOptions(dtype, fourBit, eightBit, compute, upcast, skipModules, kernel, placement, keys);
    }

    /** The same with its weights elsewhere. */
    public BaseOptions withPlacement(PlacementOptions other) {
        return new BaseOptions(dtype, fourBit, eightBit, compute, upcast, skipModules, kernel, other, stored);
    }

    /** How linear layers are quantized on loading; empty where they are not. */
    Optional<MatrixQuantizer> quantizer() {
        if (eightBit.isPresent()) {
            return Optional.of(eightBit.get());
        }
        return fourBit.map(config -> new FourBitScheme(config, compute, Kernels.choose(kernel)));
    }

    /** The name of the scheme, {@code nf4} or {@code int8} for instance; empty where the base is not quantized. */
    public Optional<String> scheme() {
        return fourBit.map(config -> config.type().key()).or(() -> eightBit.map(scheme -> "int8"));
    }

    /** Whether a linear layer stays unquantized. */
    public boolean skips(String module) {
        return placement.keepsFloat32(module) || skipModules.keeps(module);
    }
}
