package io.github.qlora4j.trainer.bench;

import io.github.qlora4j.quant.AwqConfig;
import io.github.qlora4j.quant.FourBitScheme;
import io.github.qlora4j.quant.GptqConfig;
import io.github.qlora4j.quant.Int8Weight;
import io.github.qlora4j.quant.KernelChoice;
import io.github.qlora4j.quant.Kernels;
import io.github.qlora4j.quant.MatrixQuantizer;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.QuantType;
import io.github.qlora4j.trainer.calibrate.CalibrationMethod;
import io.github.qlora4j.trainer.config.ModelSection;
import io.github.qlora4j.trainer.config.Precision;
import io.github.qlora4j.trainer.config.QuantizationSection;
import io.github.qlora4j.trainer.config.StoredKeys;
import io.github.qlora4j.trainer.model.BaseOptions;
import io.github.qlora4j.trainer.model.BaseSetup;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;

/** A form that a model is measured in. */
public enum BenchScheme {
    /** As the directory stores it, whatever that is. */
    STORED("stored"),
    /** Unquantized, cast to float32. */
    FLOAT32("float32"),
    /** Unquantized, cast to bfloat16. */
    BFLOAT16("bfloat16"),
    /** Unquantized, cast to float16. */
    FLOAT16("float16"),
    /** NF4 in blocks of 64. */
    NF4("nf4"),
    /** The same with quantized scales. */
    NF4_DOUBLE("nf4-double"),
    /** FP4 in blocks of 64. */
    FP4("fp4"),
    /** The same with quantized scales. */
    FP4_DOUBLE("fp4-double"),
    /** LLM.int8(). */
    INT8("int8"),
    /** GPTQ: 4 bits, groups of 128, symmetric, calibrated with random tokens. */
    GPTQ("gptq"),
    /** AWQ: groups of 128, calibrated with random tokens. */
    AWQ("awq");

    private final String key;

    BenchScheme(String key) {
        this.key = key;
    }

    /** The name on the command line and in tables. */
    public String key() {
        return key;
    }

    /**
     * The scheme of a name.
     *
     * @throws QloraException if there is none
     */
    public static BenchScheme ofKey(String key) {
        return Arrays.stream(values())
                .filter(scheme -> scheme.key.equals(key))
                .findFirst()
                .orElseThrow(() -> new QloraException("scheme " + key + " cannot be measured; expected some of "
                        + Arrays.stream(values()).map(BenchScheme::key).collect(Collectors.joining(", "))));
    }

    /** What is measured where nothing is asked for: the model as it is, and what it can be quantized to on loading. */
    public static List<BenchScheme> standard() {
        return List.of(STORED, NF4, NF4_DOUBLE, FP4, INT8);
    }

    /** How the model is loaded. */
    BaseOptions options(Path model, Precision compute) {
        return switch (this) {
            case STORED, GPTQ, AWQ -> loaded(model, Precision.AUTO, Optional.empty());
            case FLOAT32 -> loaded(model, Precision.FLOAT32, Optional.empty());
            case BFLOAT16 -> loaded(model, Precision.BFLOAT16, Optional.empty());
            case FLOAT16 -> loaded(model, Precision.FLOAT16, Optional.empty());
            case NF4, NF4_DOUBLE, FP4, FP4_DOUBLE, INT8 ->
                loaded(
                        model,
                        Precision.AUTO,
                        Optional.of(new QuantizationSection(
                                this != INT8,
                                this == INT8,
                                this == FP4 || this == FP4_DOUBLE ? QuantType.FP4 : QuantType.NF4,
                                this == NF4_DOUBLE || this == FP4_DOUBLE,
                                compute,
                                64,
                                KernelChoice.AUTO,
                                Int8Weight.DEFAULT_THRESHOLD,
                                null,
                                false,
                                StoredKeys.NONE)));
        };
    }

    private static BaseOptions loaded(Path model, Precision dtype, Optional<QuantizationSection> quantization) {
        return BaseSetup.options(new ModelSection(model, dtype, false), quantization);
    }

    /** What quantizes a matrix on loading, where these options ask for that. */
    static Optional<MatrixQuantizer> quantizer(BaseOptions options) {
        if (options.eightBit().isPresent()) {
            return Optional.of(options.eightBit().get());
        }
        return options.fourBit()
                .map(config -> new FourBitScheme(config, options.compute(), Kernels.choose(options.kernel())));
    }

    /** What makes a quantized directory out of the model first. */
    Optional<CalibrationMethod> calibrated() {
        return switch (this) {
            case GPTQ -> Optional.of(CalibrationMethod.gptq(GptqConfig.DEFAULT));
            case AWQ -> Optional.of(CalibrationMethod.awq(new AwqConfig(GptqConfig.DEFAULT.groupSize())));
            default -> Optional.empty();
        };
    }
}
