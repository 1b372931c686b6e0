package io.github.qlora4j.examples;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.FourBitCheckpoint;
import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.FourBitWeight;
import io.github.qlora4j.quant.Kernel;
import io.github.qlora4j.quant.KernelChoice;
import io.github.qlora4j.quant.Kernels;
import io.github.qlora4j.quant.QuantType;
import io.github.qlora4j.quant.Scratch;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.safetensors.SafetensorsWriter;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.Random;

/**
 * Module {@code quant} alone: a matrix to four bits and back, and to a file that transformers reads.
 *
 * <p>{@code java … QuantizeATensor [DIRECTORY]}: where {@code model.safetensors} is written; a temporary one if left out.
 */
public final class QuantizeATensor {

    private static final String NAME = "layer.weight";

    private QuantizeATensor() {}

    /**
     * What became of the matrix.
     *
     * @param bytesBefore in bfloat16
     * @param bytesAfter in four bits, scales included
     * @param bitsPerWeight {@code bytesAfter} in bits, by elements
     * @param meanError mean of |weight − dequantized|
     * @param meanSize mean of |weight|, to judge the error by
     * @param largestBlockError the largest error of a weight, by the largest weight of its block
     * @param sameAfterReload whether the file gives the very same values back
     */
    public record Result(
            long bytesBefore,
            long bytesAfter,
            double bitsPerWeight,
            double meanError,
            double meanSize,
            double largestBlockError,
            boolean sameAfterReload) {}

    /** Prints what four bits do to a matrix of 512 × 512 normally distributed weights. */
    public static void main(String[] arguments) throws IOException {
        Path directory =
                arguments.length > 0 ? Path.of(arguments[0]) : Files.createTempDirectory("qlora4j-quantize-a-tensor");
        for (FourBitConfig config : new FourBitConfig[] {
            FourBitConfig.DEFAULT,
            new FourBitConfig(QuantType.NF4, 64, false),
            new FourBitConfig(QuantType.FP4, 64, true),
            new FourBitConfig(QuantType.NF4, 4096, true)
        }) {
            Result r = run(512, 512, config, directory);
            System.out.printf(
                    "%-3s blocksize %-4d double quantization %-5s  %7d -> %6d bytes (%.3f bits a weight), mean error"
                            + " %.1f %% of the mean weight, the same after reloading: %s%n",
                    config.type().key(),
                    config.blocksize(),
                    config.doubleQuant(),
                    r.bytesBefore(),
                    r.bytesAfter(),
                    r.bitsPerWeight(),
                    100 * r.meanError() / r.meanSize(),
                    r.sameAfterReload());
        }
        System.out.println("the last one is in " + directory.resolve("model.safetensors"));
    }

    /** Quantizes a random matrix, saves it to {@code directory}, and loads it again. */
    public static Result run(int rows, int cols, FourBitConfig config, Path directory) throws IOException {
        float[] weights = new float[rows * cols];
        Random random = new Random(42);
        for (int i = 0; i < weights.length; i++) {
            weights[i] = (float) (0.02 * random.nextGaussian());
        }
        // The kernel: bitsandbytes' own library where it is installed, else one in Java with the same bytes.
        Kernel kernel = Kernels.choose(KernelChoice.AUTO);

        // What is opened is closed: a manager frees all arrays that it owns, a weight and a scratch their own memory.
        try (NDManager manager = Torch.newManager();
                FourBitWeight weight =
                        FourBitWeight.quantize(Torch.ofFloats(manager, weights, rows, cols), config, kernel);
                Scratch scratch = new Scratch()) {
            // dense() works the matrix out into the scratch, and toFloats copies it to the Java heap.
            float[] back = Torch.toFloats(weight.dense(Dtype.FLOAT32, scratch));

            save(weight, directory);
            boolean same = Arrays.equals(back, load(directory, kernel));

            double error = 0;
            double size = 0;
            double worst = 0;
            for (int from = 0; from < weights.length; from += config.blocksize()) {
                int to = Math.min(from + config.blocksize(), weights.length);
                double absmax = 0;
                double largest = 0;
                for (int i = from; i < to; i++) {
                    absmax = Math.max(absmax, Math.abs(weights[i]));
                    largest = Math.max(largest, Math.abs(weights[i] - back[i]));
                    error += Math.abs(weights[i] - back[i]);
                    size += Math.abs(weights[i]);
                }
                worst = Math.max(worst, largest / absmax);
            }
            return new Result(
                    2L * weights.length,
                    weight.bytes(),
                    8.0 * weight.bytes() / weights.length,
                    error / weights.length,
                    size / weights.length,
                    worst,
                    same);
        }
    }

    private static void save(FourBitWeight weight, Path directory) throws IOException {
        Files.createDirectories(directory);
        try (NDManager manager = Torch.newManager()) {
            // The packed bytes, absmax, the code and a small JSON text, under the names that transformers uses.
            Map<String, NDArray> tensors = FourBitCheckpoint.tensors(manager, NAME, weight);
            SafetensorsWriter.writeAll(directory.resolve("model.safetensors"), Map.of("format", "pt"), tensors);
        }
    }

    private static float[] load(Path directory, Kernel kernel) {
        try (ModelDirectory model = ModelDirectory.open(directory);
                FourBitWeight weight = FourBitCheckpoint.read(model, NAME, kernel);
                Scratch scratch = new Scratch()) {
            return Torch.toFloats(weight.dense(Dtype.FLOAT32, scratch));
        }
    }
}
