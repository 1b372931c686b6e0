package io.github.qlora4j.trainer.model;

import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.KernelChoice;
import io.github.qlora4j.quant.torch.Dtype;
import java.util.List;
import java.util.Optional;

/**
 * How a base is read.
 *
 * @param dtype what the stored weights are cast to; empty takes {@code config.json}'s
 * @param fourBit how linear layers are quantized; empty leaves them as they are
 * @param compute the dtype of the products of 4-bit layers
 * @param upcast what is not quantized is kept in float32, as peft's {@code prepare_model_for_kbit_training} does
 * @param skipModules linear layers that stay unquantized, by full name or last part; the head always does
 * @param kernel which kernel works 4-bit weights out
 */
public record BaseOptions(
        Optional<Dtype> dtype,
        Optional<FourBitConfig> fourBit,
        Dtype compute,
        boolean upcast,
        List<String> skipModules,
        KernelChoice kernel) {

    /** Takes a copy of the list. */
    public BaseOptions {
        skipModules = List.copyOf(skipModules);
    }

    /** The base as it is stored. */
    public static BaseOptions unquantized() {
        return new BaseOptions(Optional.empty(), Optional.empty(), Dtype.FLOAT32, false, List.of(), KernelChoice.AUTO);
    }

    /** The base cast to a dtype. */
    public static BaseOptions unquantized(Dtype dtype) {
        return new BaseOptions(Optional.of(dtype), Optional.empty(), dtype, false, List.of(), KernelChoice.AUTO);
    }

    /** The base in 4 bits, multiplied in {@code compute}. */
    public static BaseOptions fourBit(FourBitConfig config, Dtype compute) {
        return new BaseOptions(Optional.empty(), Optional.of(config), compute, false, List.of(), KernelChoice.AUTO);
    }

    /** The same, cast to another dtype before it is quantized. */
    public BaseOptions withDtype(Dtype other) {
        return new BaseOptions(Optional.of(other), fourBit, compute, upcast, skipModules, kernel);
    }

    /** The same with {@link #upcast} on or off. */
    public BaseOptions withUpcast(boolean on) {
        return new BaseOptions(dtype, fourBit, compute, on, skipModules, kernel);
    }

    /** Whether a linear layer stays unquantized. */
    public boolean skips(String module) {
        return skipModules.stream().anyMatch(s -> module.equals(s) || module.endsWith("." + s));
    }
}
