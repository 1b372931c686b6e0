package io.github.qlora4j.trainer.bench;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.peft.ModuleInfo;
import io.github.qlora4j.quant.MatrixQuantizer;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.safetensors.ShardedSafetensorsWriter;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.calibrate.CalibratedQuantizer;
import io.github.qlora4j.trainer.calibrate.CalibrationMethod;
import io.github.qlora4j.trainer.model.ModelConfig;
import io.github.qlora4j.trainer.model.Modules;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntFunction;
import java.util.stream.Stream;

/** How fast the linear layers of a model's blocks are quantized, in weights a second. */
final class QuantizingBench {

    /** Calibration of GPTQ and AWQ: the time grows with it, and it says nothing about what they are worth. */
    static final int CALIBRATION_ROWS = 16;

    static final int CALIBRATION_LENGTH = 128;

    private final Path model;
    private final ModelConfig config;
    private final int warmUp;
    private final int rounds;

    QuantizingBench(Path model, ModelConfig config, int warmUp, int rounds) {
        this.model = model;
        this.config = config;
        this.warmUp = warmUp;
        this.rounds = rounds;
    }

    /** Each matrix is quantized in every round, and read once. */
    double measure(MatrixQuantizer quantizer, Dtype dtype) {
        double[] seconds = new double[warmUp + rounds];
        long weights = 0;
        try (ModelDirectory files = ModelDirectory.open(model)) {
            for (ModuleInfo module : linears()) {
                try (NDManager manager = Torch.newManager()) {
                    NDArray stored = files.read(manager, module.name() + ".weight");
                    NDArray matrix = Torch.dtype(stored) == dtype ? stored : Torch.cast(manager, stored, dtype);
                    weights += matrix.getShape().size();
                    for (int round = 0; round < seconds.length; round++) {
                        long start = System.nanoTime();
                        quantizer.quantize(matrix).close();
                        seconds[round] += (System.nanoTime() - start) / 1e9;
                    }
                }
            }
        }
        return weights / median(seconds, warmUp);
    }

    /**
     * Once, with calibration, reading and writing.
     *
     * @param output where the model is written
     * @param texts a text of so many tokens
     */
    double measure(
            CalibrationMethod method, Path output, IntFunction<int[]> texts, CalibratedQuantizer.Progress progress) {
        int length = Math.min(CALIBRATION_LENGTH, config.maxPositionEmbeddings());
        List<int[]> rows = Stream.generate(() -> texts.apply(length))
                .limit(CALIBRATION_ROWS)
                .toList();
        long weights = linears().stream()
                .mapToLong(module -> module.rows() * module.cols())
                .sum();
        long start = System.nanoTime();
        new CalibratedQuantizer(method, ShardedSafetensorsWriter.DEFAULT_SHARD_BYTES)
                .quantize(model, output, rows, progress);
        return weights / ((System.nanoTime() - start) / 1e9);
    }

    private List<ModuleInfo> linears() {
        return Modules.of(config).stream()
                .filter(module -> module.isLinear() && !module.isOutputHead())
                .toList();
    }

    /** Of all but the first, which do not count. */
    static double median(double[] all, int warmUp) {
        double[] counted = Arrays.copyOfRange(all, warmUp, all.length);
        Arrays.sort(counted);
        return (counted[(counted.length - 1) / 2] + counted[counted.length / 2]) / 2;
    }
}
